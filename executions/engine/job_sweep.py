"""The sweep's chores of jobs: what fell is put back on its way. Each returns how many it found."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet

from agents.clock import ClockTimestamp
from agents.redis import client
from agents.runtime.job_retries import Failure
from executions.engine import job_moves, jobs
from executions.engine.job_moves import CANCELLED, Leave
from executions.models import Job, JobStatus

logger = logging.getLogger(__name__)

BATCH = 500


def recover_lost_jobs() -> int:
    """Jobs whose lease ran out go back to the queue, or end."""
    lost = Job.objects.filter(status=JobStatus.RUNNING, lease_expires_at__lt=ClockTimestamp())
    return _each(lost.order_by("lease_expires_at").defer("input")[:BATCH], _recover)


def _recover(job: Job) -> bool:
    is_cancelled = job.cancel_requested_at is not None
    return job_moves.leave(job, _after_loss(job), is_cancelled=is_cancelled, is_lost=True)


def _after_loss(job: Job) -> Leave:
    if job.cancel_requested_at is not None:
        return CANCELLED
    if job.recoveries >= settings.EXECUTION_MAX_RECOVERIES:
        message = f"Its worker was lost {job.recoveries + 1} times."
        return Leave(JobStatus.FAILED, failure=Failure("WORKER_LOST", message), recovered=1)
    return Leave(JobStatus.QUEUED, recovered=1)


def cancel_jobs_of_ended() -> int:
    """Jobs that an execution left when it failed or was cancelled, and nobody cancelled."""
    left = Job.objects.filter(
        Q(status=JobStatus.QUEUED) | Q(status=JobStatus.RUNNING, cancel_requested_at=None),
        execution__status__in=jobs.BROKEN,
    )
    executions = left.order_by().values_list("execution_id", flat=True).distinct()[:BATCH]
    return sum(jobs.cancel_jobs_of(execution) for execution in list(executions))


def send_due_jobs() -> int:
    """Jobs that have become due, and those whose messages were lost.

    A message that still lies in the queue is not lost: sending again for a backlog would flood it.
    """
    due = Job.objects.filter(status=JobStatus.QUEUED, due_at__lte=ClockTimestamp())
    late = due.filter(sent_at__lt=ClockTimestamp() - settings.EXECUTION_RESEND_AFTER)
    sent = _send(due.filter(sent_at=None), BATCH)
    queues = late.order_by().values_list("worker_queue", flat=True).distinct()
    for queue in list(queues):
        there = due.filter(worker_queue=queue, sent_at__isnull=False).count()
        missing = min(late.filter(worker_queue=queue).count(), there - client().llen(queue))
        sent += _send(late.filter(worker_queue=queue), min(missing, BATCH))
    return sent


def _send(rows: QuerySet[Job], most: int) -> int:
    """Note that they are sent, then send them: who dies in between sends them later."""
    if most <= 0:
        return 0
    with transaction.atomic():
        locked = rows.order_by("due_at").select_for_update(skip_locked=True, no_key=True)
        found = list(locked.defer("input", "output")[:most])
        Job.objects.filter(pk__in=[job.pk for job in found]).update(sent_at=ClockTimestamp())
    for job in found:
        jobs.send(job)
    return len(found)


def _each(rows: QuerySet[Job], step: Callable[[Job], Any]) -> int:
    """Take each row by itself, so that one bad row stops no other."""
    taken = 0
    for job in list(rows):
        try:
            taken += bool(step(job))
        except Exception:
            logger.exception("The sweep could not put job %s on its way.", job.pk)
    return taken
