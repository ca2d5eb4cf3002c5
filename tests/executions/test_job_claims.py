"""One claim has a job, one message of many runs it, and only the one that has it ends it."""

from __future__ import annotations

import threading
from functools import partial
from uuid import uuid4

import pytest
from django.db import connection, transaction
from django.db.models import F
from django.utils import timezone

from agents.runtime.job_retries import Failure
from executions.engine import job_runs
from executions.engine.job_moves import Leave, leave, take
from executions.models import Execution, Job, JobStatus, Status
from tests.executions.scheduling import (
    a_claim,
    a_job,
    a_process,
    lose,
    scheduled,
    taken,
    told,
    tried,
)
from tests.factories import all_at_once, somebody_waits_for_a_lock
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

DONE = Leave(JobStatus.COMPLETED, output="done")
ENDS = [
    DONE,
    Leave(JobStatus.FAILED, failure=Failure("JOB_ERROR", "x")),
    Leave(JobStatus.QUEUED, unspent=1),
]


def test_of_many_claims_at_once_one_wins() -> None:
    job = a_job()
    claims = all_at_once(
        *[partial(take, job.id, 0, f"w:{n}", kinds=["test.add"]) for n in range(8)]
    )
    assert len([claim for claim in claims if claim]) == 1
    assert [claim for claim in claims if isinstance(claim, Exception)] == []
    job.refresh_from_db()
    assert (job.status, job.epoch, job.attempt) == ("running", 1, 1)
    assert told(job.execution) == ["job.scheduled", "job.started"]


def test_a_message_that_comes_twice_runs_once() -> None:
    job = a_job()
    runs = all_at_once(*[partial(job_runs.run, job.id, 0, a_process())] * 4)
    assert [run for run in runs if run] == [Leave(JobStatus.COMPLETED, output=3)]
    assert told(job.execution) == ["job.scheduled", "job.started", "job.completed"]
    assert tried(job) is None


@pytest.mark.parametrize("epoch", [0, 1, 3])
def test_a_message_of_another_epoch_claims_nothing(epoch: int) -> None:
    job = a_job()
    assert leave(taken(job).job, Leave(JobStatus.QUEUED))
    job.refresh_from_db()
    assert job.epoch == 2
    assert take(job.id, epoch, "w:1", kinds=["test.add"]) is None
    assert take(job.id, 2, "w:1", kinds=["test.add"])


def test_a_worker_without_the_kind_leaves_it_to_others() -> None:
    job = a_job()
    assert take(job.id, 0, "w:1", kinds=["test.give"]) is None
    assert take(job.id, 0, "w:2", kinds=["test.give", "test.add"])


@pytest.mark.parametrize("status", [Status.CANCELLING, Status.CANCELLED, Status.FAILED])
def test_no_job_begins_of_an_execution_that_ends_badly(status: Status) -> None:
    job = a_job()
    free = {"claim_id": None, "lease_expires_at": None, "admitted_epoch": None}
    ended = {**free, "finished_at": timezone.now()} if status != Status.CANCELLING else {}
    Execution.objects.filter(pk=job.execution_id).update(
        status=status,
        cancel_requested_at=timezone.now(),
        failure_code="X" if status == Status.FAILED else "",
        **ended,
    )
    assert take(job.id, 0, "w:1", kinds=["test.add"]) is None


def test_no_job_begins_of_an_execution_that_is_just_being_cancelled() -> None:
    """The claim waits for the execution's row, and sees what has become of it."""
    claim = a_claim()
    job = scheduled(claim)
    begun: list[object] = []

    def begin() -> None:
        try:
            begun.append(take(job.id, 0, "w:1", kinds=["test.add"]))
        finally:
            connection.close()

    beginning = threading.Thread(target=begin)
    with transaction.atomic():
        rows = Execution.objects.filter(pk=claim.id)
        rows.select_for_update(no_key=True).get()
        beginning.start()
        wait_until(somebody_waits_for_a_lock)
        rows.update(status=Status.CANCELLING, cancel_requested_at=timezone.now())
    beginning.join()
    assert begun == [None]
    assert Job.objects.get().status == "queued"


@pytest.mark.parametrize("end", ENDS)
def test_a_claim_that_was_lost_ends_nothing(end: Leave) -> None:
    job = a_job()
    late = taken(job).job
    lose(job)
    assert leave(late, Leave(JobStatus.QUEUED, recovered=1), is_lost=True)
    now = taken(job).job
    before = Job.objects.values().get()
    assert not leave(late, end)
    assert Job.objects.values().get() == before
    assert leave(now, DONE)
    assert told(job.execution) == ["job.scheduled", "job.started", "job.started", "job.completed"]


@pytest.mark.parametrize(
    "wrong", [{"epoch": 9}, {"claim_id": uuid4()}, {"claim_id": None}, {"status": "queued"}]
)
def test_each_part_of_the_fence_counts(wrong: dict[str, object]) -> None:
    job = taken(a_job()).job
    for name, value in wrong.items():
        setattr(job, name, value)
    assert not leave(job, DONE)
    assert Job.objects.get().status == "running"


def test_a_lease_that_holds_is_not_lost() -> None:
    job = taken(a_job()).job
    assert not leave(job, Leave(JobStatus.QUEUED, recovered=1), is_lost=True)


def test_what_has_ended_ends_once() -> None:
    job = taken(a_job()).job
    ended = all_at_once(*[partial(leave, job, DONE)] * 6)
    assert sorted(map(str, ended)) == ["False"] * 5 + ["True"]
    assert told(job.execution) == ["job.scheduled", "job.started", "job.completed"]


@pytest.mark.parametrize("ends", [False, True])
def test_numbers_of_events_have_no_gap_while_the_execution_moves(ends: bool) -> None:
    """The statement waits for the execution's row, and goes on from what it has become."""
    claim = a_claim()
    job = taken(scheduled(claim)).job

    def end() -> None:
        try:
            leave(job, DONE)
        finally:
            connection.close()

    ending = threading.Thread(target=end)
    with transaction.atomic():
        row = Execution.objects.select_for_update(no_key=True).get(pk=claim.id)
        ending.start()
        wait_until(somebody_waits_for_a_lock)
        # Three events of its own meanwhile; and perhaps the last of all.
        row.events.bulk_create(
            type(row.events.get(seq=1))(execution=row, seq=row.event_seq + n, type="x")
            for n in (1, 2, 3)
        )
        changes: dict[str, object] = {"event_seq": F("event_seq") + 3}
        if ends:
            changes |= {
                "status": "completed",
                "finished_at": timezone.now(),
                "claim_id": None,
                "lease_expires_at": None,
                "admitted_epoch": None,
            }
        Execution.objects.filter(pk=claim.id).update(**changes)
    ending.join()
    assert Job.objects.get().status == "completed"
    after = [] if ends else ["job.completed"]
    assert told(claim.execution) == ["job.scheduled", "job.started", *after]


def test_many_jobs_of_one_execution_end_at_once() -> None:
    claim = a_claim()
    jobs = [scheduled(claim, key=f"k{n}") for n in range(8)]
    runs = all_at_once(*[partial(job_runs.run, job.id, 0, a_process()) for job in jobs])
    assert [run.to for run in runs] == [JobStatus.COMPLETED] * 8
    assert sorted(told(claim.execution)) == sorted(
        ["job.scheduled", "job.started", "job.completed"] * 8
    )
