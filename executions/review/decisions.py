"""A person decides on an agent's work: it is merged, or goes on in another execution."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from rest_framework.exceptions import ErrorDetail, ValidationError

from agents.activity import Actor
from boards.actions import change_task
from boards.actions.approvals import already_decided, check_decider, settle_approval
from boards.actions.tasks import check_done
from boards.models import Approval, ApprovalKind, ApprovalStatus, Task, TaskStatus
from executions import again, secrets
from executions.models import Execution, Merge
from executions.review import asked, ground, merges


@transaction.atomic
def approve_work(execution: Execution, *, by: Actor, strategy: str = "") -> Merge | None:
    """Have the work merged: the merge that is asked for now, or was and is under way.

    None where there was nothing to merge, and the task is done. `strategy` is the board's where it
    is empty. Raises the refusals of `ground.under_review`, and those of the move to done.
    """
    review = ground.under_review(execution, by=by)
    other = merges.under_way(review.execution)
    if other is not None:
        return other
    approval = review.approval or asked.ask(review.execution, review.task)
    check_done(review.task, approval_id=approval.id, by=by)
    if asked.changes_of(review.execution):
        return merges.request(review, approval, strategy=strategy, by=by)
    settle_approval(approval, approve=True, by=by)
    change_task(review.task, {"status": TaskStatus.DONE}, by=by)
    return None


@transaction.atomic
def reject_work(execution: Execution, *, reason: str, by: Actor) -> Execution:
    """Send the work back with a reason: the execution that goes on with it.

    It is forked from where the work ended, takes over the files, is told the reason first, and has
    the task again. All of it or nothing. Raises the refusals of `ground.under_review`, of the move
    back and of a start, and `MergeUnderWay`.
    """
    if not reason.strip():
        raise ValidationError({"reason": [ErrorDetail("Say why.", code="blank")]})
    review = ground.under_review(execution, by=by)
    approval = review.approval or asked.ask(review.execution, review.task)
    reason = secrets.redactor_of(review.execution).text(reason)
    settle_approval(approval, approve=False, reason=reason, by=by)
    change_task(review.task, _back(review), by=by)
    return again.rework(review.execution, text=reason, by=by)


def _back(review: ground.Review) -> dict[str, Any]:
    """The task is again with who handed it in."""
    agent = review.task.handed_in_by or review.execution.agent
    return {"status": TaskStatus.IN_PROGRESS} | ({"assigned_agent": agent} if agent else {})


def decide(approval: Approval, *, approve: bool, reason: str, by: Actor) -> Approval:
    """The same for a board's approval of a merge; it is pending while the merge is under way."""
    execution = _execution_of(approval)
    if execution is None:
        return settle_approval(approval, approve=approve, reason=reason, by=by)
    _check_is_asked(execution, approval, by=by)
    if approve:
        approve_work(execution, by=by)
    else:
        reject_work(execution, reason=reason, by=by)
    return Approval.objects.select_related("board").prefetch_related("links").get(pk=approval.pk)


def _check_is_asked(execution: Execution, approval: Approval, *, by: Actor) -> None:
    """Nobody decides by an approval that was withdrawn on the one that was asked for after it."""
    ground.held(execution)
    # Looked at once the board is held: while it is, no other is asked for.
    now = Approval.objects.get(pk=approval.pk)
    check_decider(now, by=by)
    if now.status != ApprovalStatus.PENDING:
        raise already_decided(now)


def hear_of_review(task: Task) -> None:
    """Work on a card that comes into review is asked about, also where it was before."""
    asked.ask_again(task)


def _execution_of(approval: Approval) -> Execution | None:
    if approval.execution_id is None:
        return None
    rows = Execution.objects.filter(organization=approval.board.organization_id)
    return rows.only("id", "task_id").filter(pk=approval.execution_id).first()


def hear(approval: Approval) -> None:
    """A merge that is asked for ends with an approval that is rejected or withdrawn."""
    is_over = approval.status in (ApprovalStatus.REJECTED, ApprovalStatus.WITHDRAWN)
    if is_over and approval.kind == ApprovalKind.MERGE:
        merges.take_back(approval)
