"""Deadlines are set, shifted and judged by the database's clock, whatever other clocks say."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from agents.activity import SYSTEM
from agents.clock import clock
from executions import actions
from executions.models import Execution, Status
from tests.executions.carrying import drive
from tests.starting import a_run, an_agent

pytestmark = pytest.mark.django_db(transaction=True)

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)


@pytest.fixture(params=[-86400, 86400], ids=["slow", "fast"])
def _our_clock_is_wrong(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong, real, now = request.param, time.time, timezone.now
    monkeypatch.setattr("executions.engine.runner.time.time", lambda: real() + wrong)
    monkeypatch.setattr(timezone, "now", lambda: now() + timedelta(seconds=wrong))


@pytest.mark.usefixtures("_our_clock_is_wrong")
def test_a_deadline_is_set_by_the_databases_clock() -> None:
    run = a_run(an_agent(), {"say": "x"}, deadline_seconds=3600)
    assert run.deadline_at is not None
    assert abs(run.deadline_at - clock() - HOUR) < 30 * SECOND


@pytest.mark.usefixtures("_our_clock_is_wrong")
def test_a_deadline_is_shifted_by_the_databases_clock() -> None:
    run = a_run(an_agent(), {"say": "x"}, deadline_seconds=3600)
    actions.pause(run, by=SYSTEM)
    after = actions.resume(run, by=SYSTEM).deadline_at
    assert after is not None
    assert abs(after - run.deadline_at) < 30 * SECOND


@pytest.mark.usefixtures("_our_clock_is_wrong")
@pytest.mark.parametrize(("left", "status"), [(HOUR, Status.COMPLETED), (-HOUR, Status.FAILED)])
def test_a_worker_judges_a_deadline_by_the_databases_clock(left: timedelta, status: Status) -> None:
    run = a_run(an_agent(), {"say": "x"})
    Execution.objects.filter(pk=run.pk).update(deadline_at=clock() + left)
    drive(run)
    assert run.status == status
    assert run.failure_code == ("" if status == Status.COMPLETED else "TIMED_OUT")
