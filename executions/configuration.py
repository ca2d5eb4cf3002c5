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
from agents.runtime.spec import DEFAULT_MAX_TURNS, ModelSettings, RunSpec
from boards.allowed_tools import allowed_tools
from boards.models import Board, Task
from executions.errors import ActionUnknown, AgentRunsItself, KindUnknown, NothingToDo

# Where a model is reached.
_ADDRESS = ("base_url", "api_key_env")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a caller wants done: an `action` of the agent or a `prompt`, with `values` for it.

    `is_briefed`: the run is told what there is to know of its task before the prompt, which may
    be empty then.
    """

    action: str = ""
    prompt: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    board: Board | None = None
    task: Task | None = None
    priority: int = 3
    deadline_seconds: float | None = None
    may_queue: bool = True
    is_briefed: bool = False
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
    board, task, action = wish.board, wish.task, agent.actions.get(wish.action, {})
    return RunSpec(
        model=model_of(agent, board, task),
        kind=agent.kind,
        soul=agent.soul,
        tools=tuple(allowed_tools(agent, board)),
        approval_required=_held(agent, board),
        max_turns=_first(
            task and task.max_turns,
            agent.max_turns,
            board and board.max_turns,
            default=DEFAULT_MAX_TURNS,
        ),
        token_budget=agent.token_budget or 0,
        seconds_budget=agent.seconds_budget or 0,
        output_schema=action.get("output_schema"),
        model_settings=ModelSettings.from_json(_settings(agent, board, task)),
        environment=dict(board.environment) if board else {},
        hooks=agent.hooks,
    )


def model_of(agent: Agent, board: Board | None, task: Task | None = None) -> str:
    """The model that an agent works with: the task's, its own, the board's, the installation's."""
    named = (task.model if task else "", agent.model, board.model if board else "")
    return next(filter(None, named), settings.SIGNALBOX_DEFAULT_MODEL)


def _settings(agent: Agent, board: Board | None, task: Task | None) -> dict[str, Any]:
    """The agent's settings, field by field under the task's; an address is of one provider."""
    own: dict[str, Any] = dict(agent.model_settings)
    if task is None:
        return own
    providers = {model_of(agent, board, each).partition(":")[0] for each in (None, task)}
    if len(providers) > 1:
        own = {name: value for name, value in own.items() if name not in _ADDRESS}
    return own | dict(task.model_settings)


def _held(agent: Agent, board: Board | None) -> tuple[Any, ...]:
    """What either wants a person to approve: an agent's list takes nothing off its board's."""
    entries = [*(board.approval_required if board else ()), *agent.approval_required]
    return tuple(entry for n, entry in enumerate(entries) if entry not in entries[:n])


def _first(*choices: Any, default: Any) -> Any:
    """The first choice that was made at all; an empty list is a choice."""
    return next((choice for choice in choices if choice is not None), default)
