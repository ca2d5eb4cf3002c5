"""Reads what a caller orders from an agent: the shape of the body, then what it names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ErrorDetail, ValidationError

from agents.actions import configuration
from agents.models import Agent, Organization
from boards.models import Board, Seat, Task
from executions.bodies import (
    CONFIGURATION,
    TIMEOUTS,
    AsyncStartSerializer,
    ExecutionOrderSerializer,
    StartSerializer,
)
from executions.configuration import Wish
from executions.errors import BadTimeout, NothingToDo
from executions.fields import is_number

Fields = Mapping[str, Any]


def read_order(body: Any, *, waits: bool) -> Fields:
    """The valid fields of a start. `waits`: the caller waits for the end, for `timeout` seconds.

    Raises NothingToDo and BadTimeout (400), or a ValidationError with every other mistake (422).
    """
    if isinstance(body, Mapping):
        _require_something_to_do(body)
        if waits:
            _require_timeout(body)
    shape = StartSerializer if waits else AsyncStartSerializer
    serializer = shape(data=body)
    serializer.is_valid(raise_exception=True)
    fields: Fields = serializer.validated_data
    return fields


def read_execution(body: Any) -> Fields:
    """The valid fields of an execution of an agent or inline; `input` has become one of the others.

    Raises NothingToDo (400), or a ValidationError with every other mistake (422).
    """
    if isinstance(body, Mapping):
        _require_something_to_do(body, "input")
    serializer = ExecutionOrderSerializer(data=body)
    serializer.is_valid(raise_exception=True)
    fields: Fields = serializer.validated_data
    return fields


def inline(fields: Fields, organization: Organization) -> Agent:
    """What an execution without an agent runs as: an agent that is no row.

    Raises `UnknownTool` (400).
    """
    made = {name: fields[name] for name in CONFIGURATION if name in fields}
    configuration.check(made)
    return Agent(organization=organization, **made)


def _require_something_to_do(body: Fields, *others: str) -> None:
    # Whether values alone will do depends on the kind of the agent.
    given = (body.get(name) for name in ("action", "prompt", *others))
    if "with" not in body and all(_is_blank(value) for value in given):
        raise NothingToDo


def _is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _require_timeout(body: Fields) -> None:
    least, most = TIMEOUTS
    timeout = body.get("timeout", least)
    if not is_number(timeout) or not least <= timeout <= most:
        raise BadTimeout(minimum=least, maximum=most)


def wish_of(fields: Fields, agent: Agent) -> Wish:
    """What is wanted, with the board and the task that the fields name.

    A task brings its board; where neither is named, it is the board of the agent's seat.
    Raises a ValidationError that names both where both are wrong.
    """
    task, board = _task(fields, agent), _board(fields, agent)
    errors = {}
    if fields.get("task") and task is None:
        errors["task"] = _mistake("There is no such task in this organization.")
    if fields.get("board") and board is None:
        errors["board"] = _mistake("There is no such board in this organization.")
    if task and board and task.board_id != board.id:
        errors["task"] = _mistake("The task is on another board.")
    if errors:
        raise ValidationError(errors)
    return Wish(
        action=fields.get("action", ""),
        prompt=fields.get("prompt", ""),
        values=fields.get("with", {}),
        board=board or (task.board if task else _seat(fields, agent)),
        task=task,
        priority=fields["priority"],
        deadline_seconds=fields.get("deadline_seconds"),
        may_queue=fields["queue"],
        signals=fields.get("signals", ()),
    )


def _task(fields: Fields, agent: Agent) -> Task | None:
    if not fields.get("task"):
        return None
    rows = Task.objects.select_related("board")
    return rows.filter(pk=fields["task"], board__organization_id=agent.organization_id).first()


def _board(fields: Fields, agent: Agent) -> Board | None:
    if not fields.get("board"):
        return None
    return Board.objects.filter(pk=fields["board"], organization_id=agent.organization_id).first()


def _seat(fields: Fields, agent: Agent) -> Board | None:
    """The board of the agent's seat; a caller who says `null` wants none."""
    if "board" in fields:
        return None
    seat = Seat.objects.select_related("board").filter(agent=agent).first()
    return seat.board if seat else None


def _mistake(text: str) -> list[ErrorDetail]:
    return [ErrorDetail(text, code="does_not_exist")]
