"""How a decision on an execution's work stands, as documents show it."""

from __future__ import annotations

from typing import Any

from boards import rejections
from boards.models import ApprovalStatus, Task, TaskStatus
from executions import lines
from executions.models import Execution, Merge, MergeStatus, Status
from executions.review import asked, ground

# Beside what an approval can be (`boards.models.ApprovalStatus`).
HANDING_IN, MERGING = "handing_in", "merging"
STATUSES = (HANDING_IN, MERGING, *ApprovalStatus.values)


def review_of(execution: Execution) -> dict[str, Any] | None:
    """`{status, approval, merge?, problem?}`; None where its work is not for anybody to decide on.

    `problem` is why it was handed in without what it changed.
    """
    if execution.status != Status.COMPLETED or execution.task_id is None:
        return None
    if execution.handed_in_at is None:
        return {"status": HANDING_IN, "approval": None}
    approval = asked.approval_of(execution)
    if approval is None:
        in_review = Task.objects.filter(pk=execution.task_id, status=TaskStatus.REVIEW)
        waits = in_review.exists() and ground.is_last(execution)
        return {"status": ApprovalStatus.PENDING, "approval": None} if waits else None
    merges = Merge.objects.filter(execution=execution, approval_id=approval.pk)
    merge = merges.order_by("-id").first()
    is_merging = merge is not None and merge.status == MergeStatus.REQUESTED
    status = MERGING if is_merging else approval.status
    told = {"status": status, "approval": approval.pk}
    if merge is not None:
        told["merge"] = _merge(merge)
    if problem := asked.problem_of(approval):
        told["problem"] = problem
    return told


def _merge(merge: Merge) -> dict[str, Any]:
    return {
        "status": merge.status,
        "strategy": merge.strategy,
        "target": merge.target,
        "sha": merge.sha or None,
        "problem": merge.problem,
    }


def rejections_of(execution: Execution) -> dict[str, Any] | None:
    """How often work of its line was sent back, and why; None where it never was."""
    line = [execution.pk]
    if execution.forked_from_id is not None:
        line += lines.originals(execution.pk)
    found = rejections.told(rejections.rejected().filter(execution_id__in=line))
    return found if found["count"] else None
