"""Creates, changes, claims, moves and deletes tasks: one way, whoever asks for it.

The board is locked first, then the task; `boards.rules` decides on what is read under both. A card
that leaves review takes back the merge that is asked for it; while that is under way, it stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from agents.actions import configuration
from agents.activity import Actor, Target, record
from agents.messages import Letter, notify
from agents.models import ActorKind, Agent, MessageKind
from boards import reviews, rules
from boards.actions import comments, custom_fields, dependencies, labels, positions
from boards.actions.approvals import withdraw_merges, withdraw_without_tasks
from boards.actions.assignees import check_assignee, lead_of, still_seated
from boards.actions.boards import locked_board, refuse_if_live
from boards.actions.standing import gates_of, part_of, standing_of
from boards.errors import (
    AgentNotSeated,
    LeadsOnly,
    NotOnThisBoard,
    TaskBlocked,
    TaskClaimed,
    TaskDone,
    TaskNotFound,
)
from boards.models import Board, Move, Task, TaskStatus
from boards.rules import Change, Part, Standing

# What is written elsewhere than in the task's own columns.
_RELATED = frozenset({"depends_on_task_ids", "tag_ids", "custom_field_values", "comment"})
# Of its own columns, those that say how an agent works on it.
_CHECKS: Final = {
    "model": configuration.check_model,
    "model_settings": configuration.check_answer_settings,
    "max_turns": configuration.check_turns,
}
UNSET: Final = object()


@transaction.atomic
def create_task(board: Board, fields: Mapping[str, Any], *, by: Actor) -> Task:
    """Put a card on a board; the gates hold for the column that it starts in.

    Besides columns `fields` may have `depends_on_task_ids`, `tag_ids`, `custom_field_values`.
    Raises LeadsOnly for a worker, and the refusals of assignee, dependencies, labels and rules.
    """
    locked = locked_board(board)
    part = part_of(locked, by)
    if part is Part.WORKER:
        raise LeadsOnly
    values = {name: value for name, value in fields.items() if name not in _RELATED}
    waits_for = list(fields.get("depends_on_task_ids", ()))
    _check(values)
    assignee, status = values.get("assigned_agent"), values.get("status", TaskStatus.INBOX)
    check_assignee(locked, assignee, part=part)
    blocked_by = tuple(dependencies.check(locked, None, waits_for))
    change = Change(part, by.id, status=status, assigns_to=_id(assignee), assigns=bool(assignee))
    rules.check(change, Standing(blocked_by=blocked_by), gates_of(locked))
    values |= _origin(by) | ({} if status == TaskStatus.INBOX else _times(status))
    task = Task.objects.create(board=locked, **values)
    dependencies.write(task, waits_for)
    labels.set_tags(task, fields.get("tag_ids", ()))
    custom_fields.set_values(task, fields.get("custom_field_values", {}), is_new=True)
    _tell("task.created", task, by, title=task.title, status=task.status)
    _tell_assignee(task, None, by)
    return task


@transaction.atomic
def change_task(task: Task, changes: Mapping[str, Any], *, by: Actor) -> Task:
    """Change a card's fields, labels, dependencies, assignee and column, all or nothing.

    `changes` are as in `create_task`, and `comment`, the words that go with a move. Raises
    TaskNotFound, and the refusals of assignee, dependencies, labels, comments and rules.
    """
    board, locked = _locked(task)
    return _change(board, locked, changes, by)


@transaction.atomic
def claim_task(task: Task, *, by: Actor) -> Task:
    """Take an unassigned task, or one's own, and start it; of two agents one gets it.

    Raises TaskClaimed, and the refusals of the rules.
    """
    board, locked = _locked(task)
    if locked.assigned_agent_id not in (None, by.id):
        raise TaskClaimed(assigned_agent_id=locked.assigned_agent_id)
    if locked.status not in (TaskStatus.INBOX, TaskStatus.IN_PROGRESS):
        raise TaskClaimed("The task is not there to be claimed.", status=locked.status)
    return _change(board, locked, {"status": TaskStatus.IN_PROGRESS}, by)


@transaction.atomic
def begin_task(task: Task, agent: Agent | None, *, by: Actor) -> Task:
    """Take a task into work for an agent, or for nobody's account: what a start brings with it.

    From review too, where operators want more of it. The agent is told by being started, and
    gets no letter. Raises TaskNotFound, TaskDone, AgentNotSeated, TaskBlocked, ApprovalPending.
    """
    board, locked = _locked(task)
    if locked.status == TaskStatus.DONE:
        raise TaskDone
    if agent is not None and still_seated(board, agent.id) is None:
        raise AgentNotSeated(board_id=str(board.id))
    if blocked_by := dependencies.unfinished(locked):
        raise TaskBlocked(blocked_by_task_ids=blocked_by)
    # What is asked about earlier work on it is no longer to be decided, nor to keep it here.
    withdraw_merges(locked.id, by=by)
    wanted = Change(Part.OPERATOR, by.id, status=TaskStatus.IN_PROGRESS)
    rules.check(wanted, standing_of(locked, blocked_by=()), gates_of(board))
    before, had = locked.status, locked.assigned_agent_id
    values: dict[str, Any] = {}
    if agent is not None and agent.id != had:
        values["assigned_agent_id"] = agent.id
    if before != TaskStatus.IN_PROGRESS:
        values |= {"status": TaskStatus.IN_PROGRESS, "position": positions.last()}
        values |= _times(TaskStatus.IN_PROGRESS)
    if values:
        _write(locked, values)
    if locked.status != before:
        _note_move(locked, before, by)
    if locked.assigned_agent_id != had:
        _tell("task.assigned", locked, by, before=had and str(had))
    return locked


@transaction.atomic
def move_task(task: Task, *, by: Actor, status: str | None = None, after: Any = UNSET) -> Task:
    """Put a card into a column, behind the card `after`, first (None), or where it falls.

    Raises what `change_task` raises, and UnknownTasks for a card that is not in that column.
    """
    board, locked = _locked(task)
    before = locked.status
    moved = _change(board, locked, {"status": status} if status else {}, by)
    if after is not UNSET:
        positions.place(moved, after=after)
        moved.save(update_fields=["position", "updated_at"])
        if moved.status == before:
            _tell("task.updated", moved, by, changed=["position"])
    return moved


@transaction.atomic
def hand_in_task(task: Task, *, by: Actor) -> Task:
    """Put a card whose work has ended into review, for who worked on it.

    The rules hold as for a worker that hands in. A lead, and who has no seat, hands in as an
    operator would: the role matrix is for what they ask for by themselves.
    """
    board, locked = _locked(task)
    try:
        is_worker = part_of(board, by) is Part.WORKER
    except NotOnThisBoard:
        is_worker = False
    part = Part.WORKER if is_worker else Part.OPERATOR
    return _change(board, locked, {"status": TaskStatus.REVIEW}, by, part)


def check_done(task: Task, *, approval_id: UUID | None, by: Actor) -> None:
    """Nothing, if the task may move to done once this approval is given; else what refuses it.

    The caller holds the board and the task.
    """
    board = task.board
    standing = standing_of(task, blocked_by=dependencies.unfinished(task))
    others = tuple(each for each in standing.pending_approvals if each != approval_id)
    fields = frozenset({"status"})
    change = Change(part_of(board, by), by.id, fields=fields, status=TaskStatus.DONE)
    given = replace(standing, is_approved=True, pending_approvals=others)
    rules.check(change, given, gates_of(board))


@transaction.atomic
def delete_task(task: Task, *, by: Actor) -> None:
    """Take a card away with all that hangs on it; its activity and its approvals stay.

    Raises LeadsOnly for a worker, and StillRunning while it has a live execution.
    """
    board, locked = _locked(task)
    if part_of(board, by) is Part.WORKER:
        raise LeadsOnly
    refuse_if_live(Q(task_id=locked.id))
    # Before their links go: who decides one locks it first, too.
    rows = locked.approvals.select_for_update(of=("self",), no_key=True)
    approvals = list(rows.order_by("pk").values_list("pk", flat=True))
    _tell("task.deleted", locked, by, title=locked.title)
    locked.delete()
    withdraw_without_tasks(approvals)


def hand_back(board: Board, agent: Agent, *, by: Actor) -> None:
    """Return an agent's unfinished tasks on the locked board to the inbox, with nobody."""
    rows = Task.objects.filter(board=board, assigned_agent=agent).exclude(status=TaskStatus.DONE)
    for task in rows.select_for_update(no_key=True).order_by("pk"):
        task.board = board
        _send_back(task, by)


def locked_task(task: Task) -> Task:
    """The card as it is now, its board and itself locked until the transaction ends.

    Raises TaskNotFound.
    """
    return _locked(task)[1]


def _locked(task: Task) -> tuple[Board, Task]:
    board = locked_board(task.board)
    Task.objects.select_for_update(no_key=True).filter(pk=task.pk).first()
    # Locked in one statement and looked at in the next: what the first one saw may be old.
    locked = Task.objects.select_related("board").filter(pk=task.pk, board=board).first()
    if locked is None:
        raise TaskNotFound
    locked.board = board
    return board, locked


def _change(
    board: Board, task: Task, changes: Mapping[str, Any], by: Actor, part: Part | None = None
) -> Task:
    part = part or part_of(board, by)
    values = _columns(task, changes, part, by)
    waits_for = changes.get("depends_on_task_ids")
    blocked_by = (
        dependencies.unfinished(task)
        if waits_for is None
        else dependencies.check(board, task.id, waits_for)
    )
    if "assigned_agent" in changes:
        check_assignee(board, changes["assigned_agent"], part=part)
    change = Change(
        part,
        by.id,
        fields=frozenset(changes),
        status=values.get("status"),
        assigns="assigned_agent_id" in values,
        assigns_to=values.get("assigned_agent_id"),
        brings_comment=bool(changes.get("comment")),
    )
    rules.check(change, standing_of(task, blocked_by=blocked_by), gates_of(board))
    _carry_out(board, task, changes, values, by)
    if blocked_by and waits_for is not None:
        _send_back(task, by)
    return task


def _columns(task: Task, changes: Mapping[str, Any], part: Part, by: Actor) -> dict[str, Any]:
    """What changes of the task's own columns, references by their ids."""
    wanted = {name: value for name, value in changes.items() if name not in _RELATED}
    _check(wanted)
    if "assigned_agent" in wanted:
        wanted["assigned_agent_id"] = _id(wanted.pop("assigned_agent"))
    changed = {name: value for name, value in wanted.items() if getattr(task, name) != value}
    if "status" in changed and "assigned_agent_id" in wanted:
        # Whom the call names has it afterwards, and not whom the move would bring.
        changed["assigned_agent_id"] = wanted["assigned_agent_id"]
    claims = part is Part.WORKER and wanted.get("status") == TaskStatus.IN_PROGRESS
    if claims and task.assigned_agent_id != by.id:
        # Also where it is started already: whoever had it may be gone.
        changed["assigned_agent_id"] = by.id
    return changed


def _check(values: Mapping[str, Any]) -> None:
    """Refuse values that an agent could not work by. Raises `ValidationError` of each."""
    configuration.check({name: values[name] for name in _CHECKS if name in values}, _CHECKS)


def _carry_out(
    board: Board, task: Task, changes: Mapping[str, Any], values: dict[str, Any], by: Actor
) -> None:
    """Write what was allowed: comment, related rows, columns, the move and what follows it."""
    if changes.get("comment"):
        comments.write(board, task, changes["comment"], by=by)
    others = _write_related(task, changes)
    before, had = task.status, task.assigned_agent_id
    if "status" in values:
        values = _moved(board, task, values, by) | values
    if values or others:
        _write(task, values)
    if task.status != before:
        _note_move(task, before, by)
    rest = sorted({*values, *others} & changes.keys() - {"status"})
    if rest:
        _tell("task.updated", task, by, changed=rest)
    _tell_assignee(task, had, by)
    if before == TaskStatus.DONE and task.status != before:
        for dependent in dependencies.waiting_for(task):
            dependent.board = board
            _send_back(dependent, by)


def _write_related(task: Task, changes: Mapping[str, Any]) -> list[str]:
    """Write what is not in the task's own columns; returns what of it changed."""
    writers: dict[str, Callable[[Task, Any], bool]] = {
        "depends_on_task_ids": dependencies.write,
        "tag_ids": labels.set_tags,
        "custom_field_values": partial(custom_fields.set_values, is_new=False),
    }
    asked = [name for name in writers if name in changes]
    return [name for name in asked if writers[name](task, changes[name])]


def _write(task: Task, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(task, name, value)
    task.save(update_fields=[*values, "updated_at"])


def _moved(board: Board, task: Task, values: Mapping[str, Any], by: Actor) -> dict[str, Any]:
    """What a move brings with it, but for what was asked for."""
    status, holder = values["status"], values.get("assigned_agent_id", task.assigned_agent_id)
    brought: dict[str, Any] = {"position": positions.last()}
    if status == TaskStatus.REVIEW:
        lead = lead_of(board)
        if holder is None and by.kind == ActorKind.AGENT:
            holder = by.id
        if holder is not None and holder != lead:
            brought["handed_in_by_id"] = holder
        if lead is not None:
            brought["assigned_agent_id"] = lead
    elif status == TaskStatus.INBOX and task.status == TaskStatus.REVIEW:
        brought["assigned_agent_id"] = still_seated(board, task.handed_in_by_id)
    elif status == TaskStatus.INBOX and holder == by.id:
        brought["assigned_agent_id"] = None
    return brought | _times(status)


def _times(status: str) -> dict[str, Any]:
    """When it entered that column; `done_at` only while it is there."""
    now = timezone.now()
    entered = {
        TaskStatus.IN_PROGRESS: "started_at",
        TaskStatus.REVIEW: "review_at",
        TaskStatus.DONE: "done_at",
    }
    times = {"done_at": None}
    return times | ({entered[TaskStatus(status)]: now} if status in entered else {})


def _origin(by: Actor) -> dict[str, Any]:
    if by.kind != ActorKind.AGENT:
        return {}
    return {
        "auto_created": True,
        "auto_reason": f"lead_agent:{by.id}",
        "created_by_agent_id": by.id,
    }


def _send_back(task: Task, by: Actor) -> None:
    """Back to the inbox with nobody, whatever the gates say: nobody asked for this move."""
    if task.status == TaskStatus.DONE:
        return
    before, had = task.status, task.assigned_agent_id
    values: dict[str, Any] = {"assigned_agent_id": None}
    if before != TaskStatus.INBOX:
        values |= {"status": TaskStatus.INBOX, "position": positions.last()} | _times("inbox")
    _write(task, values)
    if before != TaskStatus.INBOX:
        _note_move(task, before, by)
    _tell_assignee(task, had, by)


def _note_move(task: Task, before: str, by: Actor) -> None:
    """Write a move down, with what follows from it for the review that it ends or begins."""
    if before == TaskStatus.REVIEW:
        withdraw_merges(task.id, by=by)
    Move.objects.create(
        task=task,
        before=before,
        after=task.status,
        actor_kind=by.kind,
        actor_id=by.id,
        actor_name=by.name[:200],
    )
    _tell("task.moved", task, by, before=before, after=task.status)
    if task.status == TaskStatus.REVIEW:
        reviews.tell(task)


def _tell_assignee(task: Task, had: UUID | None, by: Actor) -> None:
    """Record who has the task now, and tell an agent that somebody else gave it to it."""
    if task.assigned_agent_id == had:
        return
    _tell("task.assigned", task, by, before=had and str(had))
    if task.assigned_agent_id is None or task.assigned_agent_id == by.id:
        return
    agent = Agent.objects.select_related("gateway").get(pk=task.assigned_agent_id)
    letter = Letter(MessageKind.ASSIGNMENT, task.title, agent, _about(task))
    notify(task.board.organization, letter, by=by)


def _about(task: Task) -> Target:
    return Target(board_id=task.board_id, task_id=task.id, agent_id=task.assigned_agent_id)


def _tell(event: str, task: Task, by: Actor, **facts: Any) -> None:
    record(task.board.organization_id, event, by=by, target=_about(task), **facts)


def _id(agent: Agent | None) -> UUID | None:
    return agent.id if agent else None
