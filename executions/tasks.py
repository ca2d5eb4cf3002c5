"""Doors from Celery: each takes its arguments and calls the one function that does the work."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task
from django.db import connection

from executions.engine import sweep as sweeps
from executions.engine import worker
from executions.engine.runner import advance as carry_on


@shared_task(name="executions.tasks.advance", ignore_result=True)
def advance(execution_id: str, epoch: int) -> None:
    """Carry an execution on; the message is a hint, and may come twice or never."""
    try:
        carry_on(UUID(execution_id), epoch, worker.current())
    finally:
        connection.close()


@shared_task(name="executions.tasks.sweep", ignore_result=True)
def sweep() -> None:
    """Find what fell; workers do it by themselves too."""
    sweeps.sweep()
