"""Asks people for approvals; decides and withdraws them."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.exceptions import ValidationError as InvalidFields

from agents import messages
from agents.actions import configuration as of_agents
from agents.activity import SYSTEM, Actor, Target, record
from agents.errors import Refusal
from agents.models import ActorKind, Agent, IntegrationKey, MessageKind
from boards import decisions
from boards.actions.boards import locked_board
from boards.errors import TaskNotFound
from boards.models import Approval, ApprovalKind, ApprovalStatus, ApprovalTask, Board, Task

MOST_TASKS = 100
PAYLOAD_SHAPE: dict[str, Any] = {"type": "object", "maxProperties": 200}
RUBRIC_SHAPE: dict[str, Any] = {
    "type": "object",
    "maxProperties": 50,
    "propertyNames": {"minLength": 1, "maxLength": 200},
    "additionalProperties": {"type": "number"},
}


class ApprovalNotFound(Refusal):
    """There is no such approval on this board."""

    code = "APPROVAL_NOT_FOUND"
    status_code = 404


class AlreadyAsked(Refusal):
    """Another approval of these tasks is pending, and one at a time is all that a task has."""

    code = "APPROVAL_ALREADY_PENDING"


class AlreadyDecided(Refusal):
    """The approval is no longer pending."""

    code = "ALREADY_DECIDED"


class RequesterDecides(Refusal):
    """Who asked for an approval does not decide it, nor does a key of theirs."""

    code = "REQUESTER_CANNOT_DECIDE"
    status_code = 403


class AgentDecides(Refusal):
    """Approvals are decided by people."""

    code = "AGENT_CANNOT_DECIDE"
    status_code = 403


class NotTheRequester(Refusal):
    """An agent withdraws only what it asked for itself."""

    code = "NOT_THE_REQUESTER"
    status_code = 403


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What is asked, and why; `confidence` is 0 to 100, `rubric_scores` maps names to numbers."""

    action_type: str
    reason: str
    task_ids: tuple[UUID, ...] = ()
    payload: Mapping[str, Any] = field(default_factory=dict)
    confidence: float | None = None
    rubric_scores: Mapping[str, Any] = field(default_factory=dict)
    execution_id: UUID | None = None


@transaction.atomic
def ask_approval(board: Board, request: ApprovalRequest, *, by: Actor) -> Approval:
    """Ask people for a decision; it is pending until one of them makes it.

    Raises `TaskNotFound` with `unknown_task_ids`, `AlreadyAsked` with `conflicts`, and
    `ValidationError` that names the fields.
    """
    _check(request)
    locked = locked_board(board)
    task_ids = _lock_tasks(locked, request.task_ids)
    _refuse_if_asked(task_ids)
    return _open(locked, request, task_ids, kind=ApprovalKind.TASK, by=by)


def ask_merge(task: Task, request: ApprovalRequest, *, by: Actor) -> Approval:
    """Ask people whether the work on a task may be merged, beside whatever else is asked of it.

    In the caller's transaction, which holds the board and the task.
    """
    return _open(task.board, request, [task.id], kind=ApprovalKind.MERGE, by=by)


@transaction.atomic
def decide_approval(approval: Approval, *, approve: bool, reason: str = "", by: Actor) -> Approval:
    """Approve or reject what was asked, in the way of its kind; an agent that asked is told.

    It is still pending where the decision is carried out first (a merge). Raises
    `ApprovalNotFound`, `AgentDecides`, `RequesterDecides`, `AlreadyDecided` with how, and what
    carrying it out is refused with.
    """
    decide = decisions.decider_of(approval.kind) or settle_approval
    return decide(approval, approve=approve, reason=reason, by=by)


@transaction.atomic
def settle_approval(approval: Approval, *, approve: bool, reason: str = "", by: Actor) -> Approval:
    """Write down how an approval was decided, whatever its kind. Raises the same."""
    locked = _locked(approval)
    check_decider(locked, by=by)
    status = ApprovalStatus.APPROVED if approve else ApprovalStatus.REJECTED
    task_ids = _close(locked, status, reason, by)
    _tell(f"approval.{status.value}", locked, task_ids, by)
    _tell_requester(locked, task_ids, by)
    decisions.tell(locked)
    return locked


def check_decider(approval: Approval, *, by: Actor) -> None:
    """Nothing, if this may be who decides it. Raises `AgentDecides` and `RequesterDecides`."""
    if by.kind == ActorKind.AGENT:
        raise AgentDecides
    if _asked_by(approval, by):
        raise RequesterDecides


def already_decided(approval: Approval, detail: str = "") -> AlreadyDecided:
    """The refusal of another decision, which says how it was decided."""
    return AlreadyDecided(
        detail,
        approval_status=approval.status,
        decided_by={"kind": approval.decider_kind, "name": approval.decider_name},
        decided_at=approval.decided_at,
        decision_reason=approval.decision_reason,
    )


@transaction.atomic
def withdraw_approval(approval: Approval, *, by: Actor) -> Approval:
    """Take back what was asked: its requester may, and people who operate the board.

    Raises `ApprovalNotFound`, `NotTheRequester`, and `AlreadyDecided` with how.
    """
    locked = _locked(approval)
    is_own = _asked_by(locked, by) and locked.kind != ApprovalKind.MERGE
    if by.kind == ActorKind.AGENT and not is_own:
        raise NotTheRequester
    task_ids = _close(locked, ApprovalStatus.WITHDRAWN, "", by)
    _tell("approval.withdrawn", locked, task_ids, by)
    if not _asked_by(locked, by):
        _tell_requester(locked, task_ids, by)
    decisions.tell(locked)
    return locked


def withdraw_merges(task_id: UUID, *, by: Actor) -> None:
    """Withdraw what is asked about the work on a task that leaves review, or is started afresh.

    In the caller's transaction, which holds the board. Raises what a floor above refuses it with,
    as while the work is being merged.
    """
    pending = Approval.objects.filter(
        links__task_id=task_id, kind=ApprovalKind.MERGE, status=ApprovalStatus.PENDING
    )
    by = SYSTEM if by.kind == ActorKind.AGENT else by  # None of them takes back a merge.
    for approval in pending.order_by("pk"):
        withdraw_approval(approval, by=by)


def withdraw_without_tasks(approval_ids: Collection[UUID]) -> None:
    """Withdraw those of these pending approvals whose last task is gone."""
    pending = Approval.objects.filter(pk__in=approval_ids, status=ApprovalStatus.PENDING)
    for approval in pending.filter(tasks=None).order_by("pk"):
        withdraw_approval(approval, by=SYSTEM)


def check_payload(value: Any) -> None:
    of_agents.check_shape(PAYLOAD_SHAPE, value)


def check_rubric(value: Any) -> None:
    of_agents.check_shape(RUBRIC_SHAPE, value)


def check_confidence(value: float | None) -> None:
    if value is not None and not 0 <= value <= 100:
        raise ValidationError("Confidence runs from 0 to 100.", code="out_of_range")


def check_reason(value: str) -> None:
    if not value.strip():
        raise ValidationError("Say why.", code="blank")


def _check(request: ApprovalRequest) -> None:
    checks = {
        "action_type": check_reason,
        "reason": check_reason,
        "payload": check_payload,
        "confidence": check_confidence,
        "rubric_scores": check_rubric,
    }
    of_agents.check({name: getattr(request, name) for name in checks}, checks)
    if len(request.task_ids) > MOST_TASKS:
        raise InvalidFields({"task_ids": f"At most {MOST_TASKS} tasks."})


def _lock_tasks(board: Board, wanted: tuple[UUID, ...]) -> list[UUID]:
    rows = Task.objects.select_for_update(no_key=True).filter(board=board, id__in=wanted)
    found = list(rows.order_by("id").values_list("id", flat=True))
    unknown = set(wanted) - set(found)
    if unknown:
        raise TaskNotFound(unknown_task_ids=sorted(unknown))
    return found


def _refuse_if_asked(task_ids: list[UUID]) -> None:
    links = ApprovalTask.objects.filter(task_id__in=task_ids, is_open=True).order_by("task_id")
    conflicts = list(links.values("approval_id", "task_id"))
    if conflicts:
        raise AlreadyAsked(conflicts=conflicts)


def _open(
    board: Board, request: ApprovalRequest, task_ids: list[UUID], *, kind: ApprovalKind, by: Actor
) -> Approval:
    """Write the approval that is asked for, about these tasks."""
    approval = Approval.objects.create(
        board=board,
        kind=kind,
        action_type=request.action_type,
        reason=request.reason,
        payload=request.payload,
        confidence=request.confidence,
        rubric_scores=request.rubric_scores,
        execution_id=request.execution_id,
        requester_kind=by.kind,
        requester_id=by.id,
        requester_name=by.name[:200],
    )
    _link(approval, task_ids)
    _tell("approval.requested", approval, task_ids, by)
    return approval


def _link(approval: Approval, task_ids: list[UUID]) -> None:
    """Insert the links. The index has the last word: whoever came by without the locks too."""
    # A merge is asked beside what else is asked of a task.
    is_open = approval.kind == ApprovalKind.TASK
    links = [
        ApprovalTask(approval=approval, task_id=task_id, is_open=is_open) for task_id in task_ids
    ]
    try:
        with transaction.atomic():
            ApprovalTask.objects.bulk_create(links)
    except IntegrityError:
        _refuse_if_asked(task_ids)
        raise


def _locked(approval: Approval) -> Approval:
    rows = Approval.objects.select_for_update(no_key=True)
    if rows.filter(pk=approval.pk).first() is None:
        raise ApprovalNotFound
    # Looked at in a statement after that of the lock.
    return Approval.objects.select_related("board__organization").get(pk=approval.pk)


def _asked_by(approval: Approval, by: Actor) -> bool:
    """Whether this is who asked, or a key of theirs, or the person whose key asked."""
    requester = (approval.requester_kind, approval.requester_id)
    if requester == (by.kind, by.id):
        return True
    person = _person_behind(by.kind, by.id)
    return person is not None and person == _person_behind(*requester)


def _person_behind(kind: str, actor_id: UUID | None) -> UUID | None:
    """Whose hand it is, where that is known: a key remembers the person who made it."""
    if kind == ActorKind.KEY and actor_id is not None:
        keys = IntegrationKey.objects.filter(pk=actor_id)
        return keys.values_list("created_by_id", flat=True).first()
    return actor_id if kind == ActorKind.MEMBER else None


def _close(approval: Approval, status: ApprovalStatus, reason: str, by: Actor) -> list[UUID]:
    """End a pending approval; the ids of its tasks. Raises `AlreadyDecided`."""
    if approval.status != ApprovalStatus.PENDING:
        raise already_decided(approval)
    approval.status = status
    approval.decision_reason = reason
    approval.decider_kind, approval.decider_id = by.kind, by.id
    approval.decider_name = by.name[:200]
    approval.decided_at = timezone.now()
    approval.save(
        update_fields=[
            "status",
            "decision_reason",
            "decider_kind",
            "decider_id",
            "decider_name",
            "decided_at",
            "updated_at",
        ]
    )
    approval.links.filter(is_open=True).update(is_open=False)
    return sorted(approval.links.values_list("task_id", flat=True))


def _tell(event: str, approval: Approval, task_ids: list[UUID], by: Actor) -> None:
    record(
        approval.board.organization_id,
        event,
        by=by,
        target=_about(approval, task_ids),
        approval_id=str(approval.id),
        action_type=approval.action_type,
        task_ids=[str(task_id) for task_id in task_ids],
    )


def _tell_requester(approval: Approval, task_ids: list[UUID], by: Actor) -> None:
    if approval.requester_kind != ActorKind.AGENT or approval.requester_id is None:
        return
    agents = Agent.objects.filter(organization=approval.board.organization_id)
    agent = agents.select_related("gateway").filter(pk=approval.requester_id).first()
    if agent is None:
        return
    because = f": {approval.decision_reason}" if approval.decision_reason else "."
    letter = messages.Letter(
        kind=MessageKind.DECISION,
        content=f"Your request {approval.action_type} was {approval.status}{because}",
        recipient=agent,
        about=_about(approval, task_ids),
        correlation_id=f"approval:{approval.id}",
        facts={
            "approval_id": str(approval.id),
            "status": approval.status,
            "reason": approval.decision_reason,
            "task_ids": [str(task_id) for task_id in task_ids],
        },
    )
    messages.notify(approval.board.organization, letter, by=by)


def _about(approval: Approval, task_ids: list[UUID]) -> Target:
    """The board, who asked, and the task if it is one."""
    asked_by_agent = approval.requester_kind == ActorKind.AGENT
    return Target(
        agent_id=approval.requester_id if asked_by_agent else None,
        board_id=approval.board_id,
        task_id=task_ids[0] if len(task_ids) == 1 else None,
        execution_id=approval.execution_id,
    )
