"""Finds the hooks of an agent by their dotted paths; one that is gone denies every call."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from agents.runtime.facts import ToolRequest
from agents.runtime.tools.registry import PostHook, PreHook, Workspace

STAGES = ("pre_tool", "post_tool")


class HookUnknown(Exception):
    """A path names no hook; the message says why."""


def find(path: str, *, within: Iterable[str]) -> Callable[..., Any]:
    """The function that `package.module:function` or `package.module.function` names.

    Whoever configures an agent chooses the path, so it runs nothing by itself: the function must
    be written in a module that is loaded, and that is one of `within` or lies below one. Raises
    `HookUnknown`.
    """
    module, name = _parts(path)
    if not any(module == each or module.startswith(f"{each}.") for each in within):
        raise HookUnknown(f"{path!r} is in none of the modules that SIGNALBOX_MODULES names.")
    loaded = sys.modules.get(module)
    if loaded is None:
        raise HookUnknown(f"{path!r} is in a module that is not loaded; let its package import it.")
    function = vars(loaded).get(name)
    # What a module has imported is not its own: `run` of subprocess would be in reach of a path.
    if not inspect.isfunction(function) or function.__module__ != module:
        raise HookUnknown(f"{path!r} is no function of that module.")
    if inspect.iscoroutinefunction(function) or not _takes_two(function):
        raise HookUnknown(f"{path!r} is no plain function of two arguments.")
    return function


def of(
    named: Mapping[str, Sequence[str]], *, within: Sequence[str]
) -> tuple[list[PreHook], list[PostHook]]:
    """The hooks of a run, before its tools and after them.

    For one that is gone, whichever it was, there is one before the tools that denies: a call that
    was to be looked at must not run unseen.
    """
    before: list[PreHook] = []
    found: dict[str, list[Callable[..., Any]]] = {stage: [] for stage in STAGES}
    for stage in STAGES:
        for path in named.get(stage, ()):
            try:
                found[stage].append(find(path, within=within))
            except HookUnknown as error:
                before.append(_denying(f"a hook of this agent is gone: {error}"))
    return [*before, *found["pre_tool"]], found["post_tool"]


def _parts(path: str) -> tuple[str, str]:
    module, _, name = path.partition(":") if ":" in path else path.rpartition(".")
    if not module or not name.isidentifier() or name.startswith("_"):
        raise HookUnknown(f"{path!r} is not written as package.module:function.")
    return module, name


def _takes_two(function: Callable[..., Any]) -> bool:
    try:
        inspect.signature(function).bind(None, None)
    except TypeError:
        return False
    return True


def _denying(reason: str) -> PreHook:
    def deny(request: ToolRequest, workspace: Workspace) -> str:
        return reason

    return deny
