"""Forks of runs that have handed work to others: what the past did is known, and left alone."""

from __future__ import annotations

from typing import Any

import pytest

from agents.activity import SYSTEM
from agents.runtime import kinds
from agents.runtime.context import AgentContext, Spawn
from agents.runtime.kinds import agent_kind
from executions import actions, signals
from executions.engine import ends
from executions.engine.sweep import sweep
from executions.models import Execution, Job, JobStatus, Status
from tests.executions import example_jobs  # noqa: F401  Registers them.
from tests.executions.carrying import drive
from tests.executions.kinds import an_agent_of, begun, told
from tests.executions.scheduling import tried

pytestmark = pytest.mark.django_db(transaction=True)

ADD = {"a": 1, "b": 2}


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kinds, "_kinds", dict(kinds._kinds))


def family(context: AgentContext) -> Any:
    if context.prompt == "child":
        context.signal_parent("up", "hello")
        context.checkpoint("begun", {})
        told = context.wait_for_signal("go", "go")
        return told and told.value
    child = context.spawn("one", Spawn(prompt="child"))
    context.signal_child("down", child, "order", 1)
    jobs = [context.schedule_job(str(n), "test.add", ADD) for n in range(2)]
    context.checkpoint("begun", {})
    won = context.select_ok("first", jobs)
    (ended,) = context.join_children("all", [child])
    return [won.key, ended.output]


@pytest.fixture
def run() -> Execution:
    """A run that has spawned, signalled and scheduled, and waits; its child waits too."""
    agent_kind("t.family")(family)
    made = begun(an_agent_of("t.family", max_concurrency=None))
    drive(made)
    drive(child_of(made))
    return made


def child_of(run: Execution) -> Execution:
    return Execution.objects.get(parent=run)


def fork(run: Execution) -> Execution:
    made = actions.fork(run, checkpoint=1, by=SYSTEM)
    drive(made)
    return made


def test_a_signal_that_the_past_has_sent_is_not_sent_again(run: Execution) -> None:
    """To a child that is not the fork's, or from one that has no parent any more."""
    child = child_of(run)
    other, again = fork(run), fork(child)
    assert (other.status, again.status) == (Status.WAITING, Status.WAITING), other.failure_message
    child.refresh_from_db()
    assert list(child.signals.values_list("name", flat=True)) == ["order"]
    assert list(run.signals.values_list("name", flat=True)) == ["hello"]


def test_a_select_leaves_the_losers_to_whose_they_are(run: Execution) -> None:
    other = fork(run)
    tried(Job.objects.get(execution=run, key="0"))
    sweep()  # Only who has the job is told at once.
    drive(other)
    assert other.status == Status.WAITING, other.failure_message
    assert Job.objects.get(execution=run, key="1").status == JobStatus.QUEUED


def test_the_end_of_a_child_is_told_to_its_parent_and_to_no_fork(
    run: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = child_of(run)
    monkeypatch.setattr(ends, "_followers", [])  # Its worker dies before it tells.
    signals.send(child, name="go", value=7, by=SYSTEM)
    drive(child)
    tried(Job.objects.get(execution=run, key="0"))
    other = fork(run)
    assert (other.status, other.output) == (Status.COMPLETED, ["0", 7]), other.failure_message
    assert "child.finished" not in told(other)
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, ["0", 7])
    assert told(run).count("child.finished") == 1
