"""Creates, configures, pauses and deletes boards."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Q

from agents.actions import slugs
from agents.activity import Actor, Target, record
from agents.models import LiveWork, Organization
from boards.actions import configuration, schedules
from boards.errors import BoardNotFound, BoardSlugTaken, StillRunning
from boards.models import Board


@transaction.atomic
def create_board(organization: Organization, fields: Mapping[str, Any], *, by: Actor) -> Board:
    """A new board, with the schedules of a new board; without a slug, one is made from its name.

    Raises the refusals of `configuration.check`, and `BoardSlugTaken` for a slug asked for.
    """
    values = {**fields}
    wanted = values.pop("slug", "")
    values["environment"] = _merged({}, values.get("environment", {}))
    configuration.check(values)
    values["organization"] = organization
    board = slugs.insert(
        Board.objects.filter(organization=organization),
        values,
        wanted=wanted,
        taken=BoardSlugTaken,
    )
    _tell("board.created", board, by, name=board.name, slug=board.slug)
    schedules.add_defaults(board)
    return board


@transaction.atomic
def configure_board(board: Board, changes: Mapping[str, Any], *, by: Actor) -> Board:
    """Change a board's fields. In `environment`, a null takes a variable away, and variables that
    are not named stay as they are.

    Raises `BoardSlugTaken`, and the refusals of `configuration.check`.
    """
    locked = locked_board(board)
    wanted = {**changes}
    if "slug" in wanted:
        wanted["slug"] = wanted["slug"].lower()
    if "environment" in wanted:
        wanted["environment"] = _merged(locked.environment, wanted["environment"])
    changed = {name: value for name, value in wanted.items() if getattr(locked, name) != value}
    configuration.check(changed)
    if changed:
        _write(locked, changed)
        _tell("board.updated", locked, by, changed=sorted(changed))
    return locked


@transaction.atomic
def pause_board(board: Board, *, by: Actor) -> Board:
    """Mark a board as paused: executions see the flag and start nothing on it."""
    return _set_paused(board, "board.paused", by, is_paused=True)


@transaction.atomic
def unpause_board(board: Board, *, by: Actor) -> Board:
    """Take the mark away."""
    return _set_paused(board, "board.resumed", by, is_paused=False)


@transaction.atomic
def delete_board(board: Board, *, by: Actor) -> None:
    """Remove a board with its tasks and seats; its activity stays.

    Raises `StillRunning` while an execution is live on it.
    """
    locked = locked_board(board)
    of_board = Q(board_id=locked.id) | Q(task_id__in=locked.tasks.values("id"))
    refuse_if_live(of_board)
    schedules.lock_all_of(locked)
    _tell("board.deleted", locked, by, name=locked.name, slug=locked.slug)
    locked.delete()


def locked_board(board: Board) -> Board:
    """The board's row, locked until the transaction ends. Raises `BoardNotFound`."""
    locked = Board.objects.select_for_update(no_key=True).filter(pk=board.pk).first()
    if locked is None:
        raise BoardNotFound
    return locked


def refuse_if_live(which: Q) -> None:
    """Raise `StillRunning` if there is live work of that kind.

    To be asked under a lock of the row that goes: a start holds it too (`agents.live.hold`), and
    has therefore either committed, and is seen here, or finds the row gone.
    """
    live = LiveWork.objects.filter(which).first()
    if live:
        raise StillRunning(current_execution_id=live.execution_id, current_task_id=live.task_id)


def _merged(before: Mapping[str, str], changes: Any) -> dict[str, str]:
    configuration.check_request({"environment": changes})
    merged = {**before, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def _write(board: Board, changed: Mapping[str, Any]) -> None:
    for name, value in changed.items():
        setattr(board, name, value)
    slugs.store(board, taken=BoardSlugTaken, update_fields=[*changed, "updated_at"])


def _set_paused(board: Board, event: str, by: Actor, *, is_paused: bool) -> Board:
    locked = locked_board(board)
    if locked.is_paused != is_paused:
        _write(locked, {"is_paused": is_paused})
        _tell(event, locked, by)
    return locked


def _tell(event: str, board: Board, by: Actor, **facts: Any) -> None:
    record(board.organization_id, event, by=by, target=Target(board_id=board.id), **facts)
