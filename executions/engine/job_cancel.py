"""Cancels one job: at once while it is queued, by asking its code while it runs."""

from __future__ import annotations

from functools import partial

from django.db import transaction

from agents import activity
from agents.activity import Actor, Target
from agents.clock import ClockTimestamp
from executions.engine import job_moves
from executions.engine.job_moves import CANCELLED
from executions.errors import JobState
from executions.models import Execution, Job, JobStatus
from executions.stream import call_to_look


def cancel(job: Job, *, by: Actor) -> Job:
    """Cancel a job and return its row. One that runs is `running` until its code has ended.

    What that code returns is not kept any more. Cancelling what is being cancelled already is no
    error; cancelling what has ended is `JobState`.
    """
    with transaction.atomic():
        # The execution first; under its lock the job neither begins nor ends.
        execution = (
            Execution.objects.select_for_update(no_key=True)
            .only("organization_id", "agent_id", "board_id", "task_id")
            .get(pk=job.execution_id)
        )
        row = Job.objects.get(pk=job.pk)
        if row.status == JobStatus.QUEUED and job_moves.leave(row, CANCELLED):
            _record(execution, row, "job.cancelled", by=by)
        elif row.status == JobStatus.RUNNING:
            _ask(execution, row, by=by)
        else:
            raise _refusal(row)
    row.refresh_from_db()
    return row


def _ask(execution: Execution, row: Job, *, by: Actor) -> None:
    asked = Job.objects.filter(
        pk=row.pk, epoch=row.epoch, status=JobStatus.RUNNING, cancel_requested_at=None
    )
    if asked.update(cancel_requested_at=ClockTimestamp()):
        _record(execution, row, "job.cancel_requested", by=by)
        transaction.on_commit(partial(call_to_look, execution.id), robust=True)


def _refusal(row: Job) -> JobState:
    row.refresh_from_db(fields=["status"])
    return JobState(
        f"The job is {row.status}.",
        # Of a problem, `status` is that of HTTP (RFC 9457).
        job_status=str(row.status),
        allowed=[str(JobStatus.QUEUED), str(JobStatus.RUNNING)],
    )


def _record(execution: Execution, job: Job, event: str, *, by: Actor) -> None:
    activity.record(
        execution.organization_id,
        event,
        by=by,
        target=Target(
            agent_id=execution.agent_id,
            board_id=execution.board_id,
            task_id=execution.task_id,
            execution_id=execution.id,
        ),
        job=str(job.id),
        kind=job.kind,
        key=job.key,
    )
