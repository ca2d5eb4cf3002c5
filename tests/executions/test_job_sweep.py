"""The sweep puts jobs back on their way: lost workers, lost messages, cascades left half done."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.db.models import F
from django.utils import timezone

from agents.redis import client
from executions.engine.job_moves import Leave, leave
from executions.engine.sweep import sweep
from executions.models import Event, Execution, Job, JobStatus
from tests.executions.scheduling import (
    a_claim,
    a_job,
    lose,
    make_due,
    scheduled,
    taken,
    told,
    tried,
)
from tests.factories import all_at_once

pytestmark = pytest.mark.django_db(transaction=True)

HOUR = timedelta(hours=1)


def test_a_job_whose_worker_was_lost_is_tried_again() -> None:
    job = a_job()
    late = taken(job).job
    assert sweep()["recover_lost_jobs"] == 0
    lose(job)
    client().delete("jobs")
    assert sweep()["recover_lost_jobs"] == 1
    assert sweep()["recover_lost_jobs"] == 0
    job.refresh_from_db()
    assert (job.status, job.recoveries, job.claim_id) == ("queued", 1, None)
    # At once: its message is there already.
    assert client().llen("jobs") == 1
    assert not leave(late, Leave(JobStatus.COMPLETED, output="late"))
    tried(job)
    assert (job.status, job.output, job.attempt) == ("completed", 3, 2)
    assert told(job.execution) == ["job.scheduled", "job.started", "job.started", "job.completed"]


def test_many_sweeps_at_once_recover_it_once() -> None:
    job = a_job()
    taken(job)
    lose(job)
    all_at_once(*[sweep] * 4)
    job.refresh_from_db()
    assert (job.status, job.recoveries) == ("queued", 1)


def test_a_job_that_loses_worker_after_worker_fails() -> None:
    job = a_job()
    taken(job)
    lose(job)
    Job.objects.update(recoveries=settings.EXECUTION_MAX_RECOVERIES)
    sweep()
    job.refresh_from_db()
    assert (job.status, job.failure_code) == ("failed", "WORKER_LOST")
    assert Event.objects.get(type="job.failed").data["code"] == "WORKER_LOST"


def test_a_cancelled_job_whose_worker_was_lost_is_cancelled() -> None:
    job = a_job()
    taken(job)
    Job.objects.update(cancel_requested_at=timezone.now())
    lose(job)
    sweep()
    job.refresh_from_db()
    assert (job.status, job.recoveries) == ("cancelled", 0)
    assert told(job.execution) == ["job.scheduled", "job.started", "job.cancelled"]


def test_a_job_that_has_become_due_is_sent() -> None:
    job = a_job("test.fail", input="x")
    tried(job)
    client().delete("jobs")
    assert sweep()["send_due_jobs"] == 0
    make_due(job)
    assert sweep()["send_due_jobs"] == 1
    assert client().llen("jobs") == 1
    assert sweep()["send_due_jobs"] == 0
    assert tried(job) is not None


@pytest.mark.parametrize("lost", [0, 1, 3])
def test_as_many_are_sent_again_as_are_missing_from_the_backlog(lost: int) -> None:
    claim = a_claim()
    for n in range(3):
        scheduled(claim, key=f"k{n}")
    Job.objects.update(sent_at=F("sent_at") - HOUR)
    for _ in range(lost):
        client().lpop("jobs")
    assert sweep()["send_due_jobs"] == lost
    assert client().llen("jobs") == 3
    assert sweep()["send_due_jobs"] == 0


def test_a_message_that_was_sent_lately_is_not_sent_again() -> None:
    a_job()
    client().delete("jobs")
    assert sweep()["send_due_jobs"] == 0


@pytest.mark.parametrize("end", ["failed", "cancelled", "completed"])
def test_what_a_cascade_left_half_done_is_finished(end: str) -> None:
    claim = a_claim()
    queued, running = scheduled(claim, key="queued"), scheduled(claim, key="running")
    taken(running)
    Execution.objects.filter(pk=claim.id).update(
        status=end,
        failure_code="X" if end == "failed" else "",
        finished_at=timezone.now(),
        claim_id=None,
        lease_expires_at=None,
        admitted_epoch=None,
    )
    left = 0 if end == "completed" else 2
    assert sweep()["cancel_jobs_of_ended"] == left
    assert sweep()["cancel_jobs_of_ended"] == 0
    queued.refresh_from_db()
    running.refresh_from_db()
    assert queued.status == ("queued" if end == "completed" else "cancelled")
    assert (running.cancel_requested_at is None) == (end == "completed")
