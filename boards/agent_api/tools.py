"""Board tools: the operations of the agent API as tools of the agents that Signalbox runs.

A call goes to the operation's own view, within the process and as the agent, so that guards,
shapes, actions and problems are those of the API. Every change carries the call's key, and is
therefore carried out once, however often a call is made whose answer was lost.
"""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from django.db import InterfaceError, OperationalError, connection

from agents.models import Agent
from agents.rest.authentication import Within, as_agent
from agents.rest.in_process import Answer, Call, ask, problem_of_call
from agents.rest.refusals import IdempotencyInFlight
from agents.runtime.tools import approval
from agents.runtime.tools.registry import (
    EVERY_TOOL,
    Interrupted,
    OutcomeUnknown,
    Tool,
    ToolDenied,
    ToolError,
    Workspace,
)
from boards.agent_api import tool_schema
from boards.agent_api.hints import TOOL_NAMES, Role
from boards.agent_api.tool_operations import Operation, operations
from boards.models import Seat, SeatRole

# How long a call is made again for that met a database which is away, or itself still under way
# from a worker that was lost: PostgreSQL ends a session that stands idle in a transaction after a
# minute.
PATIENCE_SECONDS = 70.0
_PAUSE_SECONDS = 0.5
_LOOK_SECONDS = 0.1
_LATER = {IdempotencyInFlight.code, "DEPENDENCY_UNAVAILABLE"}
# What the model is not told of a problem: it is in the words already, or is of HTTP.
_LEFT_OUT = {"type", "title", "status", "code", "detail", "errors", "request_id", "retryable"}


@dataclass(frozen=True, slots=True)
class BoardTool:
    """An operation as a tool of one agent in a run. `board_id` is that of its seat, if it has one.

    `repeatable`: the same call may be made again, since a change carries its key, and goes to the
    same place again: to the run's board, or to one that the model named.
    """

    operation: Operation
    agent_id: UUID
    board_id: UUID | None
    within: Within
    repeatable: bool = True
    uses_files: bool = False
    changes_files: bool = False

    @property
    def name(self) -> str:
        return self.operation.name

    @property
    def description(self) -> str:
        return self.operation.description

    @property
    def parameters(self) -> Mapping[str, Any]:
        return self.operation.parameters

    def in_full(self, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arguments, with the board of the seat where that goes without saying."""
        if not self.operation.is_of_seat:
            return arguments
        return {**arguments, "board_id": str(self.board_id)}

    def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
        """The answer as JSON. Raises what `Tool.run` raises."""
        call = self._call(arguments, workspace.call_key)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (answer := self._ask(call)) and _is_for_later(answer):
            if time.monotonic() > deadline:
                raise self._given_up(answer)
            _pause(workspace)
        return _told(answer)

    def _call(self, arguments: Mapping[str, Any], key: str) -> Call:
        """What is asked; the arguments fit the schema."""
        operation = self.operation
        given = dict(self.in_full(arguments) if "board_id" in operation.in_path else arguments)
        kwargs = {name: UUID(given.pop(name)) for name in operation.in_path}
        query = {name: _as_text(given.pop(name)) for name in operation.in_query & given.keys()}
        if "limit" in operation.in_query:
            query.setdefault("limit", str(tool_schema.PAGE))
        return Call(
            method=operation.method,
            path=operation.template.format(**kwargs),
            kwargs=kwargs,
            query=query,
            body=None if operation.is_read or operation.method == "DELETE" else given,
            key="" if operation.is_read else key,
            request_id=key,
        )

    def _ask(self, call: Call) -> Answer:
        """Ask as the agent that it is by now; the connection is given back."""
        assert not connection.in_atomic_block, "its effect is committed before it is told"
        try:
            rows = Agent.objects.select_related("organization")
            agent = rows.filter(pk=self.agent_id).first()
            if agent is None:
                raise ToolDenied("AGENT_NOT_FOUND: This agent does not exist any more.")
            return ask(self.operation.view, call, as_agent(agent, self.within))
        except (OperationalError, InterfaceError) as error:
            return problem_of_call(error, call)
        finally:
            connection.close()

    def _given_up(self, answer: Answer) -> Exception:
        said = _in_words(answer)
        if self.operation.is_read:
            return ToolError(said)
        return OutcomeUnknown(
            f"{said}\nIt may have taken effect or not. Look before you repeat it."
        )


def in_full(tool: Tool | None, arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """The arguments of a call as patterns look at them: a board tool's with its board."""
    return tool.in_full(arguments) if isinstance(tool, BoardTool) else arguments


@dataclass(frozen=True, slots=True)
class BoardTools:
    """What a run has of them; `absent` are those that only runs on another board have, and why."""

    tools: Collection[BoardTool] = ()
    absent: Mapping[str, str] = field(default_factory=dict)


def tools_of(
    agent_id: UUID | None, allowed: Iterable[str], *, within: Within, held: Iterable[Any] = ()
) -> BoardTools:
    """The board tools of an agent in a run, for its seat as it is now.

    None for a run without an agent, and none, at no cost, where no name of one is allowed. `held`
    says which calls need a person, who is asked about the board of the run and no other: where
    the seat is elsewhere, or the run on no board, the agent has no changes of its seat's board,
    and of what can be read there only what needs nobody.
    """
    if agent_id is None or {*allowed}.isdisjoint({EVERY_TOOL, *TOOL_NAMES}):
        return BoardTools()
    seat = Seat.objects.filter(agent=agent_id).first()
    mine = seat.board_id if seat else None
    found = operations(_role(seat))
    absent = {} if mine in (None, within.board_id) else _elsewhere(found, within, held)
    return BoardTools(
        [BoardTool(each, agent_id, mine, within) for each in found if each.name not in absent],
        absent,
    )


def _elsewhere(found: Iterable[Operation], within: Within, held: Iterable[Any]) -> dict[str, str]:
    """The operations that only a run on the board of the seat has, each with the reason."""
    asked_for = set(map(approval.tool_of, held))
    where = "is on another board" if within.board_id else "has no board"
    why = (
        f"this run {where}, and its agent does that on the board of its seat only. It takes a run "
        "on that board."
    )
    return {
        each.name: f"The tool {each.name} cannot be used here: {why}"
        for each in found
        if each.is_of_seat and not (each.is_read and asked_for.isdisjoint({each.name, EVERY_TOOL}))
    }


def _role(seat: Seat | None) -> Role:
    if seat is None:
        return Role.MAIN
    return Role.LEAD if seat.role == SeatRole.LEAD else Role.WORKER


def _as_text(value: Any) -> str:
    """A parameter as a query has it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _is_for_later(answer: Answer) -> bool:
    return not answer.is_success and answer.body.get("code") in _LATER


def _pause(workspace: Workspace) -> None:
    """Wait a little. Raises Interrupted when the engine stops the call."""
    until = time.monotonic() + _PAUSE_SECONDS
    while time.monotonic() < until:
        if workspace.stop.is_set():
            raise Interrupted
        time.sleep(_LOOK_SECONDS)


def _told(answer: Answer) -> str:
    """The answer for the model. Raises ToolError and ToolDenied in the words of the problem."""
    if answer.is_success:
        return json.dumps(_with_cursors(answer.body), ensure_ascii=False, separators=(",", ":"))
    if answer.status == 403:
        raise ToolDenied(_in_words(answer))
    raise ToolError(_in_words(answer))


def _in_words(answer: Answer) -> str:
    """A problem: its code and sentence, each field's error, and the facts that go with it."""
    problem = answer.body
    lines = [f"{problem['code']}: {problem['detail']}"]
    errors = problem.get("errors", ())
    lines += [f"{error['field'] or '(arguments)'}: {error['detail']}" for error in errors]
    facts = {name: fact for name, fact in problem.items() if name not in _LEFT_OUT}
    if facts:
        lines.append(json.dumps(facts, ensure_ascii=False))
    return "\n".join(lines)


def _with_cursors(body: Any) -> Any:
    """A page whose neighbours are named by the cursor that this tool takes, not by an address."""
    if not isinstance(body, dict) or body.keys() != {"next", "previous", "results"}:
        return body
    return body | {name: _cursor(body[name]) for name in ("next", "previous")}


def _cursor(address: str | None) -> str | None:
    return parse_qs(urlsplit(address).query)["cursor"][0] if address else None
