"""Doors from Celery: each takes its arguments and calls the one function that does the work."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from celery import shared_task
from django.db import connection

from executions.engine import job_results, job_runs, worker
from executions.engine import sweep as sweeps
from executions.engine.runner import advance as carry_on
from executions.review import hand_in as handing_in
from executions.review import merges


@shared_task(name="executions.tasks.advance", ignore_result=True)
def advance(execution_id: str, epoch: int) -> None:
    """Carry an execution on; the message is a hint, and may come twice or never."""
    try:
        carry_on(UUID(execution_id), epoch, worker.current())
    finally:
        connection.close()


@shared_task(
    name="executions.tasks.run_job",
    bind=True,
    ignore_result=False,
    throws=(job_results.JobFailed,),
)
def run_job(task: Any, job_id: str, epoch: int) -> Any:
    """Try a job; Celery keeps what came of it, and the message is a hint like any."""
    try:
        outcome = job_runs.run(UUID(job_id), epoch, worker.current())
    finally:
        connection.close()
    return job_results.answer(task, outcome)


@shared_task(name="executions.tasks.hand_in", ignore_result=True)
def hand_in(execution_id: str) -> None:
    """Make the diff of work that a person finished, and hand it in; the message is a hint."""
    try:
        handing_in.hand_in_with_diff(UUID(execution_id))
    finally:
        connection.close()


@shared_task(name="executions.tasks.merge", ignore_result=True)
def merge(merge_id: str) -> None:
    """Merge approved work; the message is a hint, and may come twice or never."""
    try:
        merges.carry_out(UUID(merge_id), worker.current())
    finally:
        connection.close()


@shared_task(name="executions.tasks.sweep", ignore_result=True)
def sweep() -> None:
    """Find what fell; workers do it by themselves too."""
    sweeps.sweep()
