"""Waking: what came about is told to the execution that waits for it.

Whatever satisfies a condition locks the execution's row, and suspending looks at the conditions
under the same lock, so that a wake-up is lost in neither order. A word that its process did not
live to say is found by the sweep.
"""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.db import transaction

from executions import states, stream
from executions.engine import conditions
from executions.engine.dispatch import dispatch_next_on_commit
from executions.models import Condition, Execution, Status


def tell(execution_id: UUID, kind: Condition.Kind, target_id: UUID) -> None:
    """Say that a job, child, approval or tool call has ended; who waits for it may go on.

    A transaction of its own, after that of the end: so no transaction holds the rows of two
    executions, and none can stand in the way of another for ever.
    """
    with transaction.atomic():
        execution = locked(execution_id)
        if execution is not None and conditions.mark_one(execution_id, kind, target_id):
            wake(execution, reason=str(kind))


def tell_on_commit(execution_id: UUID, kind: Condition.Kind, target_id: UUID) -> None:
    """The same once this transaction is committed."""
    transaction.on_commit(partial(tell, execution_id, kind, target_id), robust=True)


def look(execution: Execution, *, reason: str) -> bool:
    """Mark what holds now, and wake the execution if that ends its wait; it holds the row."""
    conditions.mark(execution.id)
    return wake(execution, reason=reason)


def wake(execution: Execution, *, reason: str, dispatches: bool = True) -> bool:
    """Put a waiting execution back into the queue, at its place, if its wait is over.

    The caller holds its row. A paused one stays paused: who resumes it looks again.
    """
    if execution.status != Status.WAITING:
        return False
    if not conditions.is_over(execution.id, execution.wait_mode):
        return False
    if not states.move(
        execution,
        Status.QUEUED,
        frm=[Status.WAITING],
        event="execution.queued",
        facts={"reason": reason},
    ):
        return False
    conditions.drop(execution.id)
    stream.publish_on_commit(execution)
    if dispatches:
        dispatch_next_on_commit(execution.organization_id)
    return True


def locked(execution_id: UUID) -> Execution | None:
    """The row under its lock, without its big columns."""
    rows = Execution.objects.select_for_update(no_key=True)
    return rows.defer("spec", "input", "output", "diff").filter(pk=execution_id).first()
