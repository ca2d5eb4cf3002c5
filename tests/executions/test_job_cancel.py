"""A job is cancelled at once while it is queued, and by its code while it runs."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from agents.activity import SYSTEM
from agents.models import Activity
from executions import actions
from executions.engine import ends
from executions.engine.claim import Batch
from executions.engine.conditions import Wait, Wanted
from executions.engine.job_cancel import cancel
from executions.engine.job_moves import Leave, leave
from executions.engine.jobs import cancel_jobs_of
from executions.errors import JobState
from executions.models import Condition, Execution, Job, JobStatus, WaitMode
from tests.executions.example_jobs import lines
from tests.executions.scheduling import (
    a_claim,
    a_job,
    a_kept_process,
    scheduled,
    taken,
    told,
    tried,
)
from tests.factories import all_at_once, somebody_waits_for_a_lock
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_queued_job_is_cancelled_at_once() -> None:
    job = a_job()
    cancelled = cancel(job, by=SYSTEM)
    assert (cancelled.status, cancelled.epoch) == ("cancelled", 1)
    assert cancelled.finished_at is not None
    assert told(job.execution) == ["job.scheduled", "job.cancelled"]
    assert Activity.objects.filter(type="job.cancelled", data__job=str(job.id)).count() == 1
    assert tried(job) is None
    assert job.status == "cancelled"


def test_a_running_job_sees_that_it_is_cancelled(tmp_path: Path) -> None:
    given = {"log": str(tmp_path / "log"), "until": str(tmp_path / "never")}
    job = a_job("test.hold", input=given)
    with a_kept_process() as process:
        trying = threading.Thread(target=_try, args=(job, process))
        trying.start()
        wait_until(lambda: lines(tmp_path / "log"))
        cancel(job, by=SYSTEM)
        trying.join()
    job.refresh_from_db()
    assert (job.status, job.output, job.failure_code) == ("cancelled", None, "")
    assert Activity.objects.filter(type="job.cancel_requested").count() == 1
    assert told(job.execution) == ["job.scheduled", "job.started", "job.cancelled"]


def test_a_running_job_is_asked_once() -> None:
    job = taken(a_job()).job
    first, again = cancel(job, by=SYSTEM), cancel(job, by=SYSTEM)
    assert first.status == again.status == "running"
    assert first.cancel_requested_at is not None
    assert first.cancel_requested_at == again.cancel_requested_at
    assert Activity.objects.filter(type="job.cancel_requested").count() == 1


def _try(job: Job, process: Any) -> None:
    try:
        tried(Job.objects.get(pk=job.pk), process)
    finally:
        connection.close()


@pytest.mark.parametrize("to", [JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.QUEUED])
def test_the_late_result_of_a_cancelled_job_is_refused(to: JobStatus) -> None:
    claim = taken(a_job())
    cancel(claim.job, by=SYSTEM)
    assert not leave(claim.job, Leave(to, output="late"))
    assert Job.objects.get().output is None


@pytest.mark.parametrize("kind", ["test.add", "test.fail", "test.later"])
def test_whatever_its_code_ends_with_it_is_cancelled(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = a_job(kind, **({} if kind == "test.add" else {"input": 1.0}))
    from agents.runtime import jobs as registry

    call = registry.JobKind.call

    def cancelled_meanwhile(self: Any, value: Any, this: Any) -> Any:
        cancel(job, by=SYSTEM)
        return call(self, value, this)

    monkeypatch.setattr(registry.JobKind, "call", cancelled_meanwhile)
    tried(job)
    assert (job.status, job.output) == ("cancelled", None)


@pytest.mark.parametrize("end", ["completed", "cancelled"])
def test_what_has_ended_cannot_be_cancelled(end: str) -> None:
    job = a_job()
    tried(job) if end == "completed" else cancel(job, by=SYSTEM)
    with pytest.raises(JobState) as refusal:
        cancel(job, by=SYSTEM)
    assert refusal.value.facts == {"job_status": end, "allowed": ["queued", "running"]}


def test_a_cancel_sees_a_job_that_is_just_beginning() -> None:
    claim = a_claim()
    job = scheduled(claim)
    seen: list[Any] = []

    def ask() -> None:
        try:
            seen.append(cancel(job, by=SYSTEM).status)
        except JobState as refusal:
            seen.append(refusal)
        finally:
            connection.close()

    asking = threading.Thread(target=ask)
    with transaction.atomic():
        Execution.objects.select_for_update(no_key=True).get(pk=claim.id)
        asking.start()
        wait_until(somebody_waits_for_a_lock)
        taken(job)
    asking.join()
    assert seen == ["running"]
    assert Job.objects.get().cancel_requested_at is not None


@pytest.mark.parametrize("is_running", [False, True])
def test_who_waits_for_a_job_goes_on_when_it_is_cancelled(is_running: bool) -> None:
    claim = a_claim()
    job = scheduled(claim)
    mine = taken(job).job if is_running else job
    assert ends.suspend(
        claim, Batch(), Wait([Wanted(Condition.Kind.JOB, target_id=job.id)], WaitMode.ALL)
    )
    cancel(job, by=SYSTEM)
    if is_running:
        assert Execution.objects.get(pk=claim.id).status == "waiting"
        assert leave(mine, Leave(JobStatus.CANCELLED), is_cancelled=True)
    assert Execution.objects.get(pk=claim.id).status == "queued"


def test_many_cascades_at_once_do_not_stand_in_each_others_way() -> None:
    claim = a_claim()
    for n in range(20):
        scheduled(claim, key=f"k{n}")
    found = all_at_once(*[partial(cancel_jobs_of, claim.id)] * 6)
    assert sorted(found) == [0] * 5 + [20]


def test_cancel_and_claim_at_once_agree() -> None:
    for _ in range(10):
        job = a_job()
        all_at_once(partial(cancel, job, by=SYSTEM), partial(tried, Job.objects.get(pk=job.pk)))
        job.refresh_from_db()
        events = told(job.execution)
        assert job.status in ("cancelled", "completed")
        assert events[-1] == f"job.{job.status}"
        assert events.count("job.cancelled") + events.count("job.completed") == 1


def test_the_jobs_of_an_execution_are_cancelled_with_it() -> None:
    claim, other = a_claim(), a_job()
    queued, running, done = (scheduled(claim, key=key) for key in ("queued", "running", "done"))
    tried(done)
    late = taken(running).job
    Execution.objects.filter(pk=claim.id).update(
        status="cancelled",
        finished_at=timezone.now(),
        claim_id=None,
        lease_expires_at=None,
        admitted_epoch=None,
    )
    assert cancel_jobs_of(claim.id) == 2
    assert cancel_jobs_of(claim.id) == 0
    states = {job.key: job.status for job in Job.objects.filter(execution_id=claim.id)}
    assert states == {"queued": "cancelled", "running": "running", "done": "completed"}
    assert not leave(late, Leave(JobStatus.COMPLETED, output="late"))
    assert leave(late, Leave(JobStatus.CANCELLED), is_cancelled=True)
    queued.refresh_from_db()
    assert (queued.epoch, tried(queued)) == (1, None)
    assert Job.objects.get(pk=other.pk).status == "queued"
    # Nothing follows the end of an execution.
    assert "job.cancelled" not in told(claim.execution)


@pytest.mark.parametrize("end", ["cancelled", "failed", "completed"])
def test_the_end_of_an_execution_reaches_its_jobs_at_once(end: str) -> None:
    claim = a_claim()
    scheduled(claim)
    if end == "cancelled":
        ends.suspend(claim, Batch(), Wait(seconds=60, reason="test"))
        actions.cancel(claim.execution, by=SYSTEM)
    elif end == "failed":
        ends.fail(claim, Batch(), code="AGENT_ERROR", message="x")
    else:
        ends.complete(claim, Batch(), output=None, diff=None)
    assert Execution.objects.get(pk=claim.id).status == end
    # What is completed lets its jobs go on.
    assert Job.objects.get().status == ("queued" if end == "completed" else "cancelled")
