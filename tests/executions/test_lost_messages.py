"""A lost message is sent again, and one that only waits behind others is not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db.models import F

from agents.redis import client
from executions.engine.sweep import sweep
from executions.models import Execution
from tests.starting import a_run, an_agent

pytestmark = pytest.mark.django_db(transaction=True)

QUEUE = "executions"


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_as_many_are_sent_again_as_are_missing_from_the_backlog(lost: int) -> None:
    agent = an_agent()
    for _ in range(3):
        a_run(agent, {"say": "x"})
    Execution.objects.update(sent_at=F("sent_at") - timedelta(hours=1))
    assert client().llen(QUEUE) == 3
    for _ in range(lost):
        client().lpop(QUEUE)
    assert sweep()["send_again"] == lost
    assert client().llen(QUEUE) == 3
    assert sweep()["send_again"] == 0
