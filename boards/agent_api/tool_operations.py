"""The operations of the agent API that are tools, as the agents of one role are offered them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from uuid import UUID

from django.urls import resolve

from agents.rest.authentication import SAFE_METHODS
from agents.rest.in_process import View
from boards.agent_api import tool_schema
from boards.agent_api.hints import HINTS, TOOL_NAMES, Hint, Role
from boards.agent_api.schema import of_role
from boards.rules import FIELDS, Part

_NIL = UUID(int=0)
_building = threading.Lock()


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation as the agents of one role are offered it.

    `is_of_seat`: it is about the board of the caller's seat, which the caller does not name.
    """

    name: str
    description: str
    method: str
    template: str
    view: View
    parameters: Mapping[str, Any]
    in_path: frozenset[str]
    in_query: frozenset[str]
    is_of_seat: bool

    @property
    def is_read(self) -> bool:
        return self.method in SAFE_METHODS


def operations(role: Role) -> tuple[Operation, ...]:
    """Those of a role that are tools: made once a process, by the first who asks."""
    with _building:
        return _made(role)


def arguments_of(name: str) -> frozenset[str]:
    """What calls of this tool may have in any role, with the board that a seat brings along."""
    made = [each for role in Role for each in operations(role) if each.name == name]
    of_seat = {"board_id"} if any(each.is_of_seat for each in made) else set()
    return frozenset(of_seat.union(*(each.parameters["properties"] for each in made)))


@cache
def _made(role: Role) -> tuple[Operation, ...]:
    document = of_role(role)
    return tuple(
        _operation(role, path, method, found, document["components"])
        for path, methods in document["paths"].items()
        for method, found in methods.items()
        if found["operationId"] in TOOL_NAMES
    )


def _operation(
    role: Role, path: str, method: str, found: Mapping[str, Any], components: Mapping[str, Any]
) -> Operation:
    in_path = tool_schema.of_path(found, components)
    in_query = tool_schema.of_query(found, components)
    body, required = tool_schema.of_body(found, components)
    if found["operationId"] == "agent_task_update":
        body = _of_part(body, role)
    ids, query = (_asked_for(part, role) for part in (in_path, in_query))
    is_about_board = method.upper() not in SAFE_METHODS or "board_id" in {**in_path, **in_query}
    name = found["operationId"]
    return Operation(
        name=name,
        description=_description(found["summary"], HINTS[name]),
        method=method.upper(),
        template=path,
        view=_view(name, path, method, in_path),
        parameters=tool_schema.joined(ids, query, body, required=[*ids, *required]),
        in_path=frozenset(in_path),
        in_query=frozenset(in_query),
        is_of_seat=role is not Role.MAIN and is_about_board,
    )


def _asked_for(parameters: Mapping[str, Any], role: Role) -> dict[str, Any]:
    """What the model gives of them: a seated agent's board goes without saying."""
    filled_in = () if role is Role.MAIN else ("board_id",)
    return {name: schema for name, schema in parameters.items() if name not in filled_in}


def _of_part(fields: Mapping[str, Any], role: Role) -> dict[str, Any]:
    """The fields of a task that an agent may send in its part."""
    allowed = FIELDS[Part(role)]
    return {name: each for name, each in fields.items() if name.removesuffix("_id") in allowed}


def _view(name: str, path: str, method: str, in_path: Iterable[str]) -> View:
    """The view at the path, which may be of a floor above. Raises TypeError where that is not the
    operation: nothing else bears its hint.
    """
    view = resolve(path.format(**dict.fromkeys(in_path, _NIL))).func
    action = getattr(view, "actions", {}).get(method, "")
    handler = getattr(getattr(view, "cls", None), action, None)
    if getattr(handler, "hint", None) is not HINTS[name]:
        raise TypeError(f"{method} {path} is not {name}")
    return view


def _description(summary: str, hint: Hint) -> str:
    return (
        f"{summary}. Use it when: {hint.when} Not when: {hint.when_not} "
        f"{hint.effects} {hint.policy} {hint.never}"
    )
