"""Says what a tool is, and carries out a model's calls under its allow-list and hooks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from jsonschema import Draft202012Validator

from agents.runtime.facts import Outcome, ToolDescription, ToolRequest, ToolResult
from agents.runtime.tools.text import clip

EVERY_TOOL = "*"


class ToolError(Exception):
    """The call failed in a way that the model is told of; the message is for the model."""


class Interrupted(Exception):
    """The engine stopped the call; carries what the tool had put out until then."""

    def __init__(self, output_so_far: str = "") -> None:
        super().__init__(output_so_far)
        self.output_so_far = output_so_far


class UnknownTools(Exception):
    """A configuration names tools that do not exist."""

    def __init__(self, unknown: tuple[str, ...], valid: tuple[str, ...]) -> None:
        super().__init__(f"unknown tools: {', '.join(unknown)}; valid are: {', '.join(valid)}")
        self.unknown = unknown
        self.valid = valid


class Stop(Protocol):
    """What a `threading.Event` offers: the engine sets it to end a call (cancel, lost lease)."""

    def is_set(self) -> bool: ...


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one call may take. `memory_bytes` and `tasks` (processes and threads) count for
    everything that a command starts, together; `seconds` is the longest timeout it may ask for.
    """

    output_bytes: int = 48 * 1024
    seconds: float = 600.0
    cpu_seconds: int = 1200
    memory_bytes: int = 4 * 1024**3
    tasks: int = 1024
    file_bytes: int = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where tools work, and within which bounds.

    `root` is the worktree: the only place that tools write. `readable` are further paths that
    commands may read (the main repository's `.git`). `environment` is what the board sets for
    commands. `scratch` is a private folder for temporary files that outlives the call; without
    one each command gets its own. Once `stop` is set, a tool that waits gives up and raises
    `Interrupted`.
    """

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop: Stop = field(default_factory=threading.Event)
    limits: Limits = field(default_factory=Limits)
    readable: tuple[Path, ...] = ()
    scratch: Path | None = None


class Tool(Protocol):
    """One thing that a model can do.

    `parameters` is a JSON Schema of type object with `additionalProperties: false`. `repeatable`
    says that a call whose outcome is unknown may simply be made again; `uses_files` that it needs
    the worktree at all, and `changes_files` that it may leave it different.
    """

    @property
    def name(self) -> str: ...
    @property
    def description(self) -> str: ...
    @property
    def parameters(self) -> Mapping[str, Any]: ...
    @property
    def repeatable(self) -> bool: ...
    @property
    def uses_files(self) -> bool: ...
    @property
    def changes_files(self) -> bool: ...

    def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
        """The output for the model. Raises `ToolError` or `Interrupted`."""
        ...


# A reason denies the call, None lets it pass.
PreHook = Callable[[ToolRequest, Workspace], str | None]
# A text replaces the output, None leaves it.
PostHook = Callable[[ToolRequest, ToolResult], str | None]


def parameters(properties: Mapping[str, Any], *, required: Iterable[str] = ()) -> dict[str, Any]:
    """The schema of a tool's arguments: these properties and no others."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(required),
        "additionalProperties": False,
    }


class Toolbox:
    """The tools of one run. A call never raises: whatever happens becomes a `ToolResult`.

    `allowed` are names, or `["*"]` for all. A name that no longer exists is passed over, since a
    frozen configuration may outlive a tool; `catalogue.check_names` refuses it when saved.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        allowed: Iterable[str],
        *,
        pre_hooks: Iterable[PreHook] = (),
        post_hooks: Iterable[PostHook] = (),
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._allowed = frozenset(allowed)
        self._pre_hooks = tuple(pre_hooks)
        self._post_hooks = tuple(post_hooks)

    def descriptions(self) -> tuple[ToolDescription, ...]:
        """The allowed tools as the model sees them."""
        return tuple(
            ToolDescription(tool.name, tool.description, tool.parameters)
            for tool in self._tools.values()
            if self.is_allowed(tool.name)
        )

    def is_allowed(self, name: str) -> bool:
        return name in self._tools and not self._allowed.isdisjoint({name, EVERY_TOOL})

    def tool(self, name: str) -> Tool | None:
        return self._tools.get(name)

    def call(self, request: ToolRequest, workspace: Workspace) -> ToolResult:
        """Carry out the call if it may be, and tell how it ended."""
        refusal = self._refusal(request) or self._denial(request, workspace)
        outcome, output = refusal or self._run(request, workspace)
        result = _result(request, outcome, output, workspace)
        return result if refusal else self._after(request, result, workspace)

    def _refusal(self, request: ToolRequest) -> tuple[Outcome, str] | None:
        tool = self._tools.get(request.name)
        if tool is None:
            valid = [name for name in self._tools if self.is_allowed(name)]
            return Outcome.ERROR, (
                f"There is no tool {request.name!r}. Valid names: {', '.join(valid) or 'none'}."
            )
        if not self.is_allowed(request.name):
            return Outcome.DENIED, f"The tool {request.name} is not allowed for this agent."
        if request.problem:
            return Outcome.ERROR, f"The arguments cannot be used: {request.problem}"
        problems = argument_problems(tool.parameters, request.arguments)
        if problems:
            return Outcome.ERROR, "The arguments do not fit:\n" + "\n".join(problems)
        return None

    def _denial(self, request: ToolRequest, workspace: Workspace) -> tuple[Outcome, str] | None:
        for hook in self._pre_hooks:
            try:
                reason = hook(request, workspace)
            except Exception as error:
                # A check that cannot decide must not let the call pass.
                return Outcome.DENIED, f"Denied, because a check failed: {_named(error)}"
            if reason is not None:
                return Outcome.DENIED, f"Denied: {reason}"
        return None

    def _run(self, request: ToolRequest, workspace: Workspace) -> tuple[Outcome, str]:
        try:
            output = self._tools[request.name].run(request.arguments, workspace)
        except ToolError as error:
            return Outcome.ERROR, str(error)
        except Interrupted as stopped:
            return Outcome.INTERRUPTED, stopped.output_so_far
        except Exception as error:
            return Outcome.ERROR, f"The tool failed: {_named(error)}"
        return Outcome.COMPLETE, output

    def _after(self, request: ToolRequest, result: ToolResult, workspace: Workspace) -> ToolResult:
        for hook in self._post_hooks:
            try:
                output = hook(request, result)
            except Exception as error:
                # The hook may have been there to take something out, so nothing is shown.
                text = f"The call ran, but its output is withheld: a hook failed: {_named(error)}"
                return _result(request, Outcome.ERROR, text, workspace)
            if output is not None:
                result = _result(request, result.outcome, output, workspace)
        return result


def argument_problems(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
    """Every way in which the arguments break the schema, each led by its field's path."""
    errors = Draft202012Validator(schema).iter_errors(dict(arguments))
    named = ((".".join(str(part) for part in error.absolute_path), error) for error in errors)
    return [
        f"{path or '(arguments)'}: {clip(error.message, 300)[0]}"
        for path, error in sorted(named, key=lambda pair: pair[0])
    ]


def _result(
    request: ToolRequest, outcome: Outcome, output: str, workspace: Workspace
) -> ToolResult:
    shown, _ = clip(output, workspace.limits.output_bytes)
    return ToolResult(request.call_id, request.name, outcome, shown)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
