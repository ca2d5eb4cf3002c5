"""Creates, changes and deletes tasks."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q

from agents.activity import Actor, Target, record
from agents.models import Agent
from boards.actions.boards import refuse_if_live
from boards.errors import ForeignAgent, TaskNotFound
from boards.models import Board, Task


@transaction.atomic
def create_task(board: Board, fields: Mapping[str, Any], *, by: Actor) -> Task:
    """Put a card on a board. Raises `ForeignAgent` for an assignee of another organization."""
    _check_assignee(board, fields.get("assigned_agent"))
    task = Task.objects.create(board=board, **fields)
    _tell("task.created", task, by, title=task.title, status=task.status)
    return task


@transaction.atomic
def change_task(task: Task, changes: Mapping[str, Any], *, by: Actor) -> Task:
    """Change a card's fields; another status is a move, and told as one.

    Raises `TaskNotFound`, and `ForeignAgent` for an assignee of another organization.
    """
    locked = _locked(task)
    changed = {name: value for name, value in changes.items() if getattr(locked, name) != value}
    if not changed:
        return locked
    _check_assignee(locked.board, changed.get("assigned_agent"))
    before = locked.status
    for name, value in changed.items():
        setattr(locked, name, value)
    locked.save(update_fields=[*changed, "updated_at"])
    if changed.pop("status", None):
        _tell("task.moved", locked, by, before=before, after=locked.status)
    if changed:
        _tell("task.updated", locked, by, changed=sorted(changed))
    return locked


@transaction.atomic
def delete_task(task: Task, *, by: Actor) -> None:
    """Take a card away; its activity stays. Raises `StillRunning` while it has a live execution."""
    locked = _locked(task)
    refuse_if_live(Q(task_id=locked.id))
    _tell("task.deleted", locked, by, title=locked.title)
    locked.delete()


def _locked(task: Task) -> Task:
    rows = Task.objects.select_for_update(of=("self",), no_key=True)
    locked = rows.select_related("board", "assigned_agent").filter(pk=task.pk).first()
    if locked is None:
        raise TaskNotFound
    return locked


def _check_assignee(board: Board, agent: Agent | None) -> None:
    if agent and agent.organization_id != board.organization_id:
        raise ForeignAgent


def _tell(event: str, task: Task, by: Actor, **facts: Any) -> None:
    about = Target(board_id=task.board_id, task_id=task.id, agent_id=task.assigned_agent_id)
    record(task.board.organization_id, event, by=by, target=about, **facts)
