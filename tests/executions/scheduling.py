"""Short words for jobs in tests: an execution that runs, a job of it, a try in this process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from django.db import transaction
from django.db.models import F

from executions.engine import claim as claims
from executions.engine import job_runs, jobs
from executions.engine.claim import Batch, Claim
from executions.engine.job_moves import JobClaim, Leave, take
from executions.engine.keeper import Keeper
from executions.models import Event, Execution, Job
from tests.executions import example_jobs
from tests.executions.carrying import claimed
from tests.starting import a_run, an_agent

MODULE = example_jobs.__name__


def a_claim() -> Claim:
    """An execution that runs, in the hands of this test."""
    return claimed(a_run(an_agent(), {"say": "done"}))


def scheduled(claim: Claim, kind: str = "test.add", *, key: str = "k", **more: Any) -> Job:
    """A job as agent code schedules it: with its event, under the claim."""
    given = {"input": {"a": 1, "b": 2}, **more}
    with transaction.atomic():
        claims.commit(claim, Batch())
        job = jobs.schedule(claim.execution, key=key, kind=kind, **given)
        batch = Batch()
        batch.event("job.scheduled", **jobs.facts_of(job))
        claims.commit(claim, batch)
    return job


def a_job(kind: str = "test.add", **more: Any) -> Job:
    return scheduled(a_claim(), kind, **more)


def taken(job: Job, worker: str = "here:1") -> JobClaim:
    job.refresh_from_db()
    claim = take(job.id, job.epoch, worker, kinds=[job.kind])
    assert claim is not None
    return claim


def a_process(*, is_draining: bool = False) -> Any:
    """What a try asks of its process, without a keeper's threads."""
    keeper = Keeper(name="here:1", queues=[], concurrency=1, sweep=lambda: None)
    keeper.is_draining = is_draining
    return SimpleNamespace(name="here:1", keeper=keeper)


@contextmanager
def a_kept_process() -> Iterator[Any]:
    """The same with a keeper that works."""
    process = a_process()
    process.keeper.start()
    try:
        yield process
    finally:
        process.keeper.end()


def tried(job: Job, process: Any = None) -> Leave | None:
    """Try the job in this thread, as a worker does."""
    job.refresh_from_db()
    outcome = job_runs.run(job.id, job.epoch, process or a_process())
    job.refresh_from_db()
    return outcome


def make_due(job: Job) -> None:
    """Let the time of its delay have passed."""
    Job.objects.filter(pk=job.pk).update(due_at=F("due_at") - timedelta(days=40))
    job.refresh_from_db()


def lose(job: Job) -> None:
    """Let its lease have run out."""
    moved = F("lease_expires_at") - timedelta(hours=1)
    Job.objects.filter(pk=job.pk).update(lease_expires_at=moved)


def told(execution: Execution) -> list[str]:
    """The types of its events about jobs, in order; all its numbers are there once."""
    events = list(Event.objects.filter(execution=execution).order_by("seq"))
    execution.refresh_from_db()
    assert [event.seq for event in events] == list(range(1, execution.event_seq + 1))
    return [event.type for event in events if event.type.startswith("job.")]
