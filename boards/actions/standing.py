"""Reads, under the locks of a change, what `boards.rules` decides on."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from agents.activity import Actor
from agents.models import ActorKind
from boards.errors import NotOnThisBoard
from boards.models import (
    Approval,
    ApprovalKind,
    ApprovalStatus,
    Board,
    Comment,
    Seat,
    SeatRole,
    Task,
)
from boards.rules import Gates, Part, Standing

_DECIDED = (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED)
# What is decided about a task as a whole: not one call of a tool on the way.
_OF_TASKS = (ApprovalKind.TASK, ApprovalKind.MERGE)


def part_of(board: Board, actor: Actor) -> Part:
    """In which part somebody acts on this board. Raises NotOnThisBoard for an agent without a
    seat there: an agent is never an operator."""
    if actor.kind != ActorKind.AGENT or actor.id is None:
        return Part.OPERATOR
    seat = Seat.objects.filter(agent_id=actor.id, board=board).first()
    if seat is None:
        raise NotOnThisBoard
    return Part.LEAD if seat.role == SeatRole.LEAD else Part.WORKER


def gates_of(board: Board) -> Gates:
    """The board's flags."""
    return Gates(
        block_status_changes_with_pending_approval=board.block_status_changes_with_pending_approval,
        require_review_before_done=board.require_review_before_done,
        require_approval_for_done=board.require_approval_for_done,
        comment_required_for_review=board.comment_required_for_review,
        only_lead_can_change_status=board.only_lead_can_change_status,
    )


def standing_of(task: Task, *, blocked_by: Iterable[UUID]) -> Standing:
    """How the locked task stands, with the dependencies that it will have."""
    approvals = Approval.objects.filter(tasks=task)
    pending = approvals.filter(status=ApprovalStatus.PENDING).values_list("pk", flat=True)
    return Standing(
        status=task.status,
        assigned_to=task.assigned_agent_id,
        blocked_by=tuple(blocked_by),
        pending_approvals=tuple(pending),
        is_approved=_is_approved(task),
        has_comment=_has_comment(task),
    )


def _is_approved(task: Task) -> bool:
    """Whether the newest decision since the task last entered review is an approval."""
    decided = Approval.objects.filter(tasks=task, kind__in=_OF_TASKS, status__in=_DECIDED)
    if task.review_at is not None:
        decided = decided.filter(decided_at__gte=task.review_at)
    newest = decided.order_by("-decided_at").values_list("status", flat=True).first()
    return newest == ApprovalStatus.APPROVED


def _has_comment(task: Task) -> bool:
    comments = Comment.objects.filter(task=task)
    if task.started_at is not None:
        comments = comments.filter(created_at__gte=task.started_at)
    return comments.exists()
