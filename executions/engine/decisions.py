"""Approvals of executions: a decision wakes who waits for it, an end withdraws what is pending."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from uuid import UUID

from django.db.models import QuerySet

from agents.activity import SYSTEM
from boards.actions import withdraw_approval
from boards.actions.approvals import AlreadyDecided, ApprovalNotFound
from boards.models import Approval, ApprovalStatus
from executions.engine import waits
from executions.engine.children import BROKEN
from executions.engine.ends import after_an_end
from executions.models import Condition, Execution

BATCH = 100
_PENDING: QuerySet[Approval] = Approval.objects.filter(status=ApprovalStatus.PENDING)


def hear(approval: Approval) -> None:
    """Once it is committed, tell the execution that asked how the approval was decided."""
    if approval.execution_id is not None:
        waits.tell_on_commit(approval.execution_id, Condition.Kind.APPROVAL, approval.id)


@after_an_end
def withdraw_what_is_asked(execution: Execution) -> None:
    """Nobody need decide any more what an execution asked that failed or was cancelled."""
    if execution.status in BROKEN:
        _withdraw(_PENDING.filter(execution_id=execution.id).values_list("id", flat=True))


def withdraw_left() -> int:
    """The same for executions whose process did not live to do it; how many there were."""
    broken = Execution.objects.filter(status__in=BROKEN).values("id")
    left = _PENDING.filter(execution_id__in=broken).order_by()
    return _withdraw(left.values_list("id", flat=True)[:BATCH])


def _withdraw(ids: Iterable[UUID]) -> int:
    """Each in a transaction of its own, for none holds the rows of two approvals."""
    found = list(ids)
    for approval_id in found:
        with suppress(AlreadyDecided, ApprovalNotFound):
            withdraw_approval(Approval(id=approval_id), by=SYSTEM)
    return len(found)
