"""Says what a tool is, and carries out a model's calls under its allow-list and hooks."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker

from agents.runtime.facts import Outcome, ToolDescription, ToolRequest, ToolResult, Whole
from agents.runtime.redaction import NO_SECRETS, Redactor
from agents.runtime.tools.text import WHOLE_BYTES, KeptOutput, clip, whole_of

EVERY_TOOL = "*"


class ToolError(Exception):
    """The call failed in a way that the model is told of; the message is for the model."""


class ToolDenied(ToolError):
    """Whoever carries the call out does not allow it to this agent; the message says why."""


class OutcomeUnknown(Exception):
    """The call may have taken effect or not; the message, which says so, is for the model."""


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
    More than `output_bytes` no model is sent; up to `whole_bytes` of it are kept for people.
    """

    output_bytes: int = 48 * 1024
    whole_bytes: int = WHOLE_BYTES
    seconds: float = 600.0
    cpu_seconds: int = 1200
    memory_bytes: int = 4 * 1024**3
    tasks: int = 1024
    file_bytes: int = 2 * 1024**3


class Spool:
    """Where a tool that cuts its own output leaves the whole, which the ledger keeps.

    It is left as it came, and its secrets are taken out of all of it at once, so that none is
    missed where two pieces of the output met.
    """

    def __init__(self) -> None:
        self._left: tuple[KeptOutput, str] | None = None

    def leave(self, output: KeptOutput, ending: str) -> None:
        """Leave an output, and what the tool says after it."""
        self._left = output, ending

    def whole(self, redactor: Redactor, limit_bytes: int) -> Whole | None:
        """What was left here, without secrets; None for nothing."""
        if self._left is None:
            return None
        output, ending = self._left
        text = output.told(redactor.text(ending), redactor)
        return whole_of(text, limit_bytes=limit_bytes, is_cut=output.is_cut)


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where tools work, and within which bounds.

    `root` is the worktree: the only place that tools write. `readable` are further paths that
    commands may read (the main repository's `.git`). `environment` is what the board sets for
    commands. `scratch` is a private folder for temporary files that outlives the call; without
    one each command gets its own. Once `stop` is set, a tool that waits gives up and raises
    `Interrupted`. `call_key` names the call, and is the same when that is made again because a
    worker was lost. `redactor` takes out of every output
    what no model may see; a tool that cuts its output asks it for the part of a secret at the cut,
    and leaves the whole in `spool`, which each call has for itself.
    """

    root: Path
    environment: Mapping[str, str] = field(default_factory=dict)
    stop: Stop = field(default_factory=threading.Event)
    limits: Limits = field(default_factory=Limits)
    readable: tuple[Path, ...] = ()
    scratch: Path | None = None
    call_key: str = ""
    redactor: Redactor = NO_SECRETS
    spool: Spool = field(default_factory=Spool)


class Tool(Protocol):
    """One thing that a model can do.

    `parameters` is a JSON Schema of type object with `additionalProperties: false`; of formats
    only `uuid` is checked, an id in its usual spelling. `repeatable`
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
        """The output for the model. Raises `ToolError`, `OutcomeUnknown` or `Interrupted`."""
        ...


# A reason denies the call, None lets it pass. It may be asked about one call more than once.
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
    `others` are names of tools that exist and that this run has not, each with the reason, if
    there is more to it than that they are not allowed.
    """

    def __init__(
        self,
        tools: Iterable[Tool],
        allowed: Iterable[str],
        *,
        others: Mapping[str, str] = MappingProxyType({}),
        pre_hooks: Iterable[PreHook] = (),
        post_hooks: Iterable[PostHook] = (),
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._allowed = frozenset(allowed)
        self._others = others
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
        return name in self._tools and self._is_listed(name)

    def _is_listed(self, name: str) -> bool:
        return not self._allowed.isdisjoint({name, EVERY_TOOL})

    def tool(self, name: str) -> Tool | None:
        return self._tools.get(name)

    def refuses(self, request: ToolRequest) -> bool:
        """Whether the call cannot be carried out as it is, so that nobody need be asked of it."""
        return self._refusal(request) is not None

    @property
    def has_pre_hooks(self) -> bool:
        return bool(self._pre_hooks)

    def call(self, request: ToolRequest, workspace: Workspace) -> ToolResult:
        """Carry out the call if it may be, and tell how it ended."""
        return self.refuse(request, workspace) or self.carry_out(request, workspace)

    def refuse(self, request: ToolRequest, workspace: Workspace) -> ToolResult | None:
        """How a call ends that may not be made, and does not begin; None for one that may."""
        refusal = self._refusal(request) or self._denial(request, workspace)
        return refusal and _result(request, *refusal, workspace)

    def carry_out(self, request: ToolRequest, workspace: Workspace) -> ToolResult:
        """Make a call that was not refused, and tell how it ended."""
        workspace = replace(workspace, spool=Spool())
        outcome, output = self._run(request, workspace)
        result = _result(request, outcome, output, workspace)
        # A hook sees what is shown, and may be there to take something out: what it has not seen
        # is not kept.
        if self._post_hooks:
            return self._after(request, replace(result, whole=None), workspace)
        left = workspace.spool.whole(workspace.redactor, workspace.limits.whole_bytes)
        return replace(result, whole=left) if left else result

    def _refusal(self, request: ToolRequest) -> tuple[Outcome, str] | None:
        tool = self._tools.get(request.name)
        if tool is None and request.name not in self._others:
            valid = [name for name in self._tools if self.is_allowed(name)]
            return Outcome.ERROR, (
                f"There is no tool {request.name!r}. Valid names: {', '.join(valid) or 'none'}."
            )
        if tool is None or not self.is_allowed(request.name):
            return Outcome.DENIED, self._why_not(request.name)
        if request.problem:
            return Outcome.ERROR, f"The arguments cannot be used: {request.problem}"
        problems = argument_problems(tool.parameters, request.arguments)
        if problems:
            return Outcome.ERROR, "The arguments do not fit:\n" + "\n".join(problems)
        return None

    def _why_not(self, name: str) -> str:
        reason = self._others.get(name, "") if self._is_listed(name) else ""
        return reason or f"The tool {name} is not allowed for this agent."

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
        except ToolDenied as error:
            return Outcome.DENIED, str(error)
        except ToolError as error:
            return Outcome.ERROR, str(error)
        except OutcomeUnknown as error:
            return Outcome.UNKNOWN, str(error)
        except Interrupted as stopped:
            return Outcome.INTERRUPTED, stopped.output_so_far
        except Exception as error:
            return Outcome.ERROR, f"The tool failed: {_named(error)}"
        return Outcome.COMPLETE, output

    def _after(self, request: ToolRequest, result: ToolResult, workspace: Workspace) -> ToolResult:
        for hook in self._post_hooks:
            try:
                output = hook(request, result)
                if output is not None:
                    result = _result(request, result.outcome, output, workspace)
            except Exception as error:
                # The hook may have been there to take something out, so nothing is shown.
                text = f"The call ran, but its output is withheld: a hook failed: {_named(error)}"
                return _result(request, Outcome.ERROR, text, workspace)
        return result


_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("uuid", raises=ValueError)
def _is_canonical(value: Any) -> bool:
    """Whether this is an id in the one spelling by which patterns for approvals know it."""
    if not isinstance(value, str):
        return True
    try:
        right = str(UUID(value))
    except ValueError:
        raise ValueError(f"{value!r} is no id (UUID)") from None
    if value != right:
        raise ValueError(f"{value!r} is not how an id is written; write {right!r}")
    return True


def argument_problems(schema: Mapping[str, Any], arguments: Mapping[str, Any]) -> list[str]:
    """Every way in which the arguments break the schema, each led by its field's path."""
    validator = Draft202012Validator(schema, format_checker=_FORMATS)
    errors = validator.iter_errors(dict(arguments))
    named = ((".".join(str(part) for part in error.absolute_path), error) for error in errors)
    return [
        f"{path or '(arguments)'}: {clip(str(error.cause or error.message), 300)[0]}"
        for path, error in sorted(named, key=lambda pair: pair[0])
    ]


def _result(
    request: ToolRequest, outcome: Outcome, output: str, workspace: Workspace
) -> ToolResult:
    # Before the cut, which might leave a part of a secret.
    clean, limits = workspace.redactor.text(output), workspace.limits
    shown, was_cut = clip(clean, limits.output_bytes)
    whole = whole_of(clean, limit_bytes=limits.whole_bytes) if was_cut else None
    return ToolResult(request.call_id, request.name, outcome, shown, whole)


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
