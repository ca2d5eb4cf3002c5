"""What a run is made of, frozen at its start: agent, then board, then settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonschema
from django.conf import settings
from rest_framework.exceptions import ValidationError

from agents.models import Agent
from agents.presence import RUNS_ITSELF
from agents.remote import is_remote
from agents.runtime import kinds
from agents.runtime.kinds import Kind
from agents.runtime.prompts import MissingValues, render
from agents.runtime.spec import DEFAULT_MAX_TURNS, DEFAULT_TOOLS, ModelSettings, RunSpec
from boards.models import Board, Task
from executions.errors import ActionUnknown, AgentRunsItself, KindUnknown, NothingToDo


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants done: an `action` of the agent or a `prompt`, with `values` for it."""

    action: str = ""
    prompt: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    board: Board | None = None
    task: Task | None = None
    priority: int = 3
    deadline_seconds: float | None = None
    may_queue: bool = True
    # Sent to it with its start: `name`, `value`, and a `dedup_key` if it has one.
    signals: Sequence[Mapping[str, Any]] = ()

    def as_input(self) -> dict[str, Any]:
        """The input as the status document shows it."""
        given = {"action": self.action, "prompt": self.prompt, "with": dict(self.values)}
        return {name: value for name, value in given.items() if value}


def check_runs_here(agent: Agent) -> None:
    """Refuse an agent that fetches its work itself. Raises `AgentRunsItself`."""
    if agent.kind == RUNS_ITSELF:
        raise AgentRunsItself


def kind_of(agent: Agent) -> Kind:
    """The newest version of the agent's kind, which new executions are of. Raises `KindUnknown`."""
    if is_remote(agent.kind):
        return Kind(agent.kind, "", _elsewhere)
    kind = kinds.newest(agent.kind)
    if kind is None:
        known = sorted({kind.name for kind in kinds.registered()})
        raise KindUnknown(f"No kind is registered as {agent.kind!r}.", allowed=known)
    return kind


def _elsewhere(context: Any) -> Any:
    raise AssertionError("What is remote is carried on by a worker outside.")


def prompt_of(agent: Agent, wish: Wish) -> str:
    """The first message of the run; a kind that is code may do without one.

    Raises `NothingToDo` (400), `ActionUnknown` (422), or a validation error that names every
    field of `with` that does not fit (422).
    """
    kind = kind_of(agent)
    if kind.input_schema is not None and not wish.action:
        _check_values(kind.input_schema, wish.values)
        return wish.prompt
    if not wish.action and not wish.prompt:
        if not kind.takes_messages:
            return ""
        raise NothingToDo
    if not wish.action:
        return _with_values(wish.prompt, wish.values)
    action = agent.actions.get(wish.action)
    if action is None:
        raise ActionUnknown(
            f"The agent has no action {wish.action!r}.", allowed=sorted(agent.actions)
        )
    _check_values(action.get("input_schema"), wish.values)
    try:
        text = render(action["prompt"], wish.values)
    except MissingValues as error:
        missing = {f"with.{name}": ["The action's prompt needs it."] for name in error.names}
        raise ValidationError(missing) from error
    return f"{text}\n\n{wish.prompt}" if wish.prompt else text


def _with_values(prompt: str, values: Mapping[str, Any]) -> str:
    if not values:
        return prompt
    lines = [f"{name}: {value}" for name, value in values.items()]
    return prompt + "\n\n" + "\n".join(lines)


def _check_values(schema: Any, values: Mapping[str, Any]) -> None:
    if schema is None:
        return
    problems: dict[str, list[str]] = {}
    for error in jsonschema.Draft202012Validator(schema).iter_errors(dict(values)):
        path = ".".join(["with", *(str(part) for part in error.absolute_path)])
        problems.setdefault(path, []).append(error.message)
    if problems:
        raise ValidationError(problems)


def spec_of(agent: Agent, wish: Wish) -> RunSpec:
    """The frozen configuration of a run of this agent, after every fallback."""
    board, action = wish.board, agent.actions.get(wish.action, {})
    tools = _first(agent.tools, board and board.tools, default=list(DEFAULT_TOOLS))
    return RunSpec(
        model=agent.model or (board.model if board else "") or settings.SIGNALBOX_DEFAULT_MODEL,
        kind=agent.kind,
        soul=agent.soul,
        tools=tuple(tools),
        max_turns=_first(agent.max_turns, board and board.max_turns, default=DEFAULT_MAX_TURNS),
        token_budget=agent.token_budget or 0,
        seconds_budget=agent.seconds_budget or 0,
        output_schema=action.get("output_schema"),
        model_settings=ModelSettings(**agent.model_settings),
        environment=dict(board.environment) if board else {},
    )


def _first(*choices: Any, default: Any) -> Any:
    """The first choice that was made at all; an empty list is a choice."""
    return next((choice for choice in choices if choice is not None), default)
