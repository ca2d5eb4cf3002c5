"""How often work on a task was sent back, and why."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from boards.models import Approval, ApprovalKind, ApprovalStatus

# As many reasons as an answer has, the newest ones.
MOST_REASONS = 50


def rejected() -> QuerySet[Approval]:
    """Merges that a person said no to, oldest first."""
    rows = Approval.objects.filter(kind=ApprovalKind.MERGE, status=ApprovalStatus.REJECTED)
    return rows.order_by("decided_at", "pk").defer("payload", "reason", "rubric_scores")


def told(rejections: Iterable[Approval]) -> dict[str, Any]:
    """These as answers have them: `{count, reasons: [{exec_id, reason, by, at}]}`."""
    found = list(rejections)
    return {"count": len(found), "reasons": [_reason(each) for each in found[-MOST_REASONS:]]}


def _reason(approval: Approval) -> dict[str, Any]:
    return {
        "exec_id": approval.execution_id,
        "reason": approval.decision_reason,
        "by": approval.decider_name,
        "at": approval.decided_at,
    }
