"""`select_ok`: the first job that completes is had at once, and the others are given up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from agents.runtime import kinds
from agents.runtime.context import AgentContext, JobFailed
from agents.runtime.kinds import agent_kind
from executions.engine.effects import Effects
from executions.models import Execution, Job, JobStatus, Status
from tests.executions import example_jobs  # noqa: F401  Registers them.
from tests.executions.carrying import drive
from tests.executions.kinds import begun
from tests.executions.scheduling import tried

pytestmark = pytest.mark.django_db(transaction=True)

ADD = ("test.add", {"a": 1, "b": 2})
FAIL = ("test.permanent", None)


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))


def selecting(*wanted: Sequence[Any], **options: Any) -> Execution:
    """A run that waits for the first of these jobs, whose keys are their places."""

    def kind(context: AgentContext) -> Any:
        made = [context.schedule_job(str(n), *each) for n, each in enumerate(wanted)]
        try:
            won = context.select_ok("first", made, **options)
        except JobFailed as failed:
            return ["none", failed.result.key, failed.result.status]
        return [won.key, won.output]

    agent_kind("t.selects")(kind)
    run = begun("t.selects")
    drive(run)
    return run


def job(run: Execution, key: int) -> Job:
    return Job.objects.get(execution=run, key=str(key))


def test_the_first_that_completes_wins_and_the_others_are_cancelled() -> None:
    run = selecting(FAIL, ADD, ADD)
    tried(job(run, 0))
    drive(run)
    run.refresh_from_db()
    assert run.status == Status.WAITING
    tried(job(run, 2))
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, ["2", 3])
    assert job(run, 1).status == JobStatus.CANCELLED


def test_losers_may_go_on() -> None:
    run = selecting(ADD, ADD, cancel_losers=False)
    tried(job(run, 1))
    drive(run)
    assert (run.output, job(run, 0).status) == (["1", 3], JobStatus.QUEUED)


def test_where_none_completes_the_code_is_told() -> None:
    run = selecting(FAIL, FAIL)
    for key in (0, 1):
        tried(job(run, key))
        drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, ["none", "1", "failed"])


def test_of_no_job_none_completes() -> None:
    run = selecting()
    assert (run.status, run.failure_message) == (
        Status.FAILED,
        "ValueError: There is no job to select.",
    )


@pytest.mark.parametrize(
    ("wanted", "output"), [((FAIL,), ["none", "0", "failed"]), ((ADD, ADD), ["0", 3])]
)
def test_an_end_between_the_look_and_the_suspension_is_not_missed(
    monkeypatch: pytest.MonkeyPatch, wanted: Any, output: Any
) -> None:
    """Who looked again for what is open would wait for nothing, or for the others only."""
    original = Effects._begun

    def meanwhile(self: Effects, *given: Any) -> Any:
        monkeypatch.setattr(Effects, "_begun", original)
        tried(job(self.claim.execution, 0))
        return original(self, *given)

    monkeypatch.setattr(Effects, "_begun", meanwhile)
    run = selecting(*wanted)
    assert (run.status, run.output) == (Status.COMPLETED, output)
