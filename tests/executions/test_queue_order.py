"""The queue is in the order of one clock, whichever host took a start or a resume."""

from datetime import timedelta

import pytest
from django.utils import timezone

from agents.activity import SYSTEM
from agents.models import Agent
from executions import actions
from executions.models import Execution
from tests.starting import a_run, an_agent, an_organization

pytestmark = pytest.mark.django_db(transaction=True)

now = timezone.now


@pytest.fixture
def agent() -> Agent:
    """Of an organization in which nothing is admitted."""
    return an_agent(an_organization(max_concurrent=0))


def in_order() -> list[Execution]:
    return list(Execution.objects.order_by("rank", "id"))


def test_a_host_whose_clock_is_slow_puts_nothing_before_what_came_earlier(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    earlier = a_run(agent, {"say": "x"})
    monkeypatch.setattr(timezone, "now", lambda: now() - timedelta(minutes=3))
    later = a_run(agent, {"say": "x"})
    assert in_order() == [earlier, later]


def test_nor_what_it_resumes(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    resumed = actions.pause(a_run(agent, {"say": "x"}), by=SYSTEM)
    earlier = a_run(agent, {"say": "x"})
    monkeypatch.setattr(timezone, "now", lambda: now() - timedelta(minutes=3))
    actions.resume(resumed, by=SYSTEM)
    assert in_order() == [earlier, resumed]
