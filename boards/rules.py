"""Who may change a task, and when: decisions over what was read under the locks, nothing else.

`check` is asked on every path (operators, agents, the admin, executions), creation included. It
raises the first refusal that holds: part, blocked, then the gates in the order of the board's
flags.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

from boards.errors import (
    ApprovalPending,
    ApprovalRequired,
    CommentRequired,
    FieldNotAllowed,
    LeadRequired,
    MoveNotAllowed,
    ReviewRequired,
    TaskBlocked,
    TaskNotYours,
)
from boards.models import TaskStatus

INBOX, IN_PROGRESS, REVIEW, DONE = TaskStatus


class Part(StrEnum):
    """In which part somebody changes a task."""

    OPERATOR = "operator"
    LEAD = "lead"
    WORKER = "worker"


@dataclass(frozen=True, slots=True)
class Gates:
    """The flags of a board."""

    block_status_changes_with_pending_approval: bool = False
    require_review_before_done: bool = False
    require_approval_for_done: bool = True
    comment_required_for_review: bool = False
    only_lead_can_change_status: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """How a task stands; a new one has no status and is nobody's.

    `blocked_by` are its unfinished dependencies as they will be, `pending_approvals` those that
    are open, `is_approved` whether its newest decision since it last entered review is a yes,
    `has_comment` whether somebody commented since it was last started.
    """

    status: str | None = None
    assigned_to: UUID | None = None
    blocked_by: tuple[UUID, ...] = ()
    pending_approvals: tuple[UUID, ...] = ()
    is_approved: bool = False
    has_comment: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What somebody wants of it. No `status`, or the one it has, is no move."""

    part: Part
    by: UUID | None = None
    fields: frozenset[str] = field(default_factory=frozenset)
    status: str | None = None
    assigns: bool = False
    assigns_to: UUID | None = None
    brings_comment: bool = False


# What of a task an agent may send in its part; of a new one a lead may send all.
FIELDS: Mapping[Part, frozenset[str]] = {
    Part.LEAD: frozenset(
        {
            "assigned_agent",
            "status",
            "depends_on_task_ids",
            "tag_ids",
            "custom_field_values",
        }
    ),
    Part.WORKER: frozenset({"status", "comment", "custom_field_values"}),
}
_MOVES: Mapping[Part, Mapping[str, tuple[str, ...]]] = {
    Part.LEAD: {REVIEW: (DONE, INBOX), INBOX: (IN_PROGRESS,)},
    Part.WORKER: {INBOX: (IN_PROGRESS,), IN_PROGRESS: (INBOX, REVIEW)},
}


def check(change: Change, standing: Standing, gates: Gates) -> None:
    """Nothing, if the change may be made.

    Raises FieldNotAllowed, TaskNotYours and MoveNotAllowed (403) by the role matrix, TaskBlocked
    (409), then ApprovalPending, ReviewRequired, ApprovalRequired (409), CommentRequired (422) and
    LeadRequired (403) by the gates.
    """
    moves = _moves(change, standing)
    if change.part is not Part.OPERATOR and standing.status is not None:
        _check_part(change, standing, moves=moves)
    if standing.blocked_by and (moves or _reassigns(change, standing)):
        raise TaskBlocked(blocked_by_task_ids=list(standing.blocked_by))
    if moves:
        _check_gates(change, standing, gates)


def _moves(change: Change, standing: Standing) -> bool:
    """Whether the status changes; a new task moves when it starts elsewhere than in the inbox."""
    return change.status is not None and change.status != (standing.status or INBOX)


def _reassigns(change: Change, standing: Standing) -> bool:
    return change.assigns and change.assigns_to != standing.assigned_to


def _check_part(change: Change, standing: Standing, *, moves: bool) -> None:
    allowed = FIELDS[change.part]
    if forbidden := change.fields - allowed:
        raise FieldNotAllowed(fields=sorted(forbidden), allowed=sorted(allowed))
    if change.part is Part.WORKER and standing.assigned_to not in (None, change.by):
        raise TaskNotYours
    if not moves:
        return
    ways = _MOVES[change.part].get(str(standing.status), ())
    if change.status not in ways or not _is_started_with_somebody(change):
        raise MoveNotAllowed(before=standing.status, after=change.status, allowed=list(ways))


def _is_started_with_somebody(change: Change) -> bool:
    """A lead starts a task only by giving it to somebody in the same call."""
    if change.part is not Part.LEAD or change.status != IN_PROGRESS:
        return True
    return change.assigns and change.assigns_to is not None


def _check_gates(change: Change, standing: Standing, gates: Gates) -> None:
    if gates.block_status_changes_with_pending_approval and standing.pending_approvals:
        raise ApprovalPending(approval_ids=list(standing.pending_approvals))
    if change.status == DONE:
        if gates.require_review_before_done and standing.status != REVIEW:
            raise ReviewRequired
        if gates.require_approval_for_done and not standing.is_approved:
            raise ApprovalRequired
    has_comment = standing.has_comment or change.brings_comment
    if change.status == REVIEW and gates.comment_required_for_review and not has_comment:
        raise CommentRequired
    if gates.only_lead_can_change_status and change.part is Part.WORKER:
        raise LeadRequired
