"""A real worker takes jobs from its queue, keeps their results, and wakes who waits for them."""

from __future__ import annotations

from typing import Any

import pytest
from django_celery_results.models import TaskResult

from agents.redis import client
from executions.engine.claim import Batch
from executions.engine.conditions import Wait, Wanted
from executions.engine.ends import suspend
from executions.models import Condition, Execution, Job, WaitMode
from tests.executions.scheduling import (
    MODULE,
    a_claim,
    lose,
    make_due,
    scheduled,
    taken,
    told,
    tried,
)
from tests.processes import wait_until, worker

pytestmark = pytest.mark.django_db(transaction=True)


def waiting_for(claim: Any, *jobs: Job, mode: WaitMode = WaitMode.ALL) -> bool:
    wanted = [Wanted(Condition.Kind.JOB, target_id=job.id) for job in jobs]
    return suspend(claim, Batch(), Wait(wanted, mode))


def test_a_worker_carries_jobs_out_and_wakes_their_execution() -> None:
    claim = a_claim()
    good = [scheduled(claim, key=f"k{n}", input={"a": n, "b": 1}) for n in range(3)]
    bad = scheduled(claim, "test.permanent", key="bad", input=None)
    again = scheduled(claim, "test.fail", key="again", input="x")
    assert waiting_for(claim, *good, bad)
    client().rpush("jobs", client().lindex("jobs", 0) or "")  # One message comes twice.
    with worker(queues="jobs", SIGNALBOX_MODULES=MODULE) as process:
        wait_until(lambda: Execution.objects.get(pk=claim.id).status == "queued")
        wait_until(lambda: TaskResult.objects.count() == 5 and not client().llen("jobs"))
        assert process.stop() == 0  # It ends what it has taken.
    rows = {job.key: job for job in Job.objects.all()}
    assert [rows[f"k{n}"].output for n in range(3)] == [1, 2, 3]
    assert (rows["bad"].status, rows["bad"].failure_code) == ("failed", "FILE_GONE")
    assert rows["again"].status == "queued"
    assert {row.attempt for row in rows.values()} == {1}
    events = told(claim.execution)
    assert (events.count("job.completed"), events.count("job.failed")) == (3, 1)

    kept = {row.task_id.partition(":")[0]: row for row in TaskResult.objects.all()}
    assert len(kept) == TaskResult.objects.count()
    assert [(kept[str(job.id)].status, kept[str(job.id)].result) for job in good] == [
        ("SUCCESS", str(n + 1)) for n in range(3)
    ]
    assert kept[str(bad.id)].status == "FAILURE"
    assert "There is no such file." in kept[str(bad.id)].result
    assert kept[str(again.id)].status == "RETRY"


def test_jobs_that_ended_before_the_wait_end_it_at_once() -> None:
    claim = a_claim()
    job = scheduled(claim)
    tried(job)
    assert not waiting_for(claim, job)
    assert Execution.objects.get(pk=claim.id).status == "running"


@pytest.mark.parametrize("kind", ["test.add", "test.permanent"])
def test_the_end_of_a_job_wakes_who_waits_for_it(kind: str) -> None:
    claim = a_claim()
    job, other = scheduled(claim, kind), scheduled(claim, key="other")
    assert waiting_for(claim, job, other, mode=WaitMode.ANY)
    tried(job)
    assert Execution.objects.get(pk=claim.id).status == "queued"
    before = Execution.objects.values().get(pk=claim.id)
    # The wait has been left: the other one's end wakes nobody.
    tried(other)
    after = Execution.objects.values().get(pk=claim.id)
    assert after.pop("event_seq") == before.pop("event_seq") + 2
    assert after == before


def test_a_try_that_is_to_be_repeated_wakes_nobody() -> None:
    claim = a_claim()
    job = scheduled(claim, "test.fail")
    assert waiting_for(claim, job)
    for attempt in (1, 2, 3):
        assert Execution.objects.get(pk=claim.id).status == "waiting", attempt
        make_due(job)
        tried(job)
    assert Execution.objects.get(pk=claim.id).status == "queued"


def test_a_word_that_was_not_said_is_found_by_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    from executions.engine import job_moves
    from executions.engine.sweep import sweep

    claim = a_claim()
    job = scheduled(claim)
    assert waiting_for(claim, job)
    monkeypatch.setattr(job_moves.waits, "tell_on_commit", lambda *_: None)  # It dies before.
    tried(job)
    assert Execution.objects.get(pk=claim.id).status == "waiting"
    sweep()
    assert Execution.objects.get(pk=claim.id).status == "queued"


def test_a_recovered_job_wakes_its_execution_all_the_same() -> None:
    from executions.engine.sweep import sweep

    claim = a_claim()
    job = scheduled(claim)
    assert waiting_for(claim, job)
    taken(job)
    lose(job)
    sweep()
    tried(job)
    assert Execution.objects.get(pk=claim.id).status == "queued"
