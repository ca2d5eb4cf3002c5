"""Lists the tools that exist, and checks names against the list."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from agents.runtime.tools.files import Edit, Read, Write
from agents.runtime.tools.registry import EVERY_TOOL, Tool, UnknownTools
from agents.runtime.tools.search import Glob, Grep
from agents.runtime.tools.shell import Bash
from agents.runtime.tools.todo import TodoWrite
from agents.runtime.tools.web import WebFetch

TOOLS: dict[str, Tool] = {}
# What tells the arguments of a tool by its name.
TellArguments = Callable[[str], frozenset[str]]
# Names of tools that a floor above makes for each run, from what it knows of the agent.
MADE_ABOVE: dict[str, TellArguments] = {}


def register(tool: Tool) -> None:
    """Add a tool. Raises `ValueError` when its name is taken: a tool is never replaced."""
    _require_free(tool.name)
    TOOLS[tool.name] = tool


def register_names(names: Iterable[str], *, arguments_of: TellArguments) -> None:
    """Add the names of tools that are made for each run. Raises `ValueError` as `register`."""
    for name in names:
        _require_free(name)
        MADE_ABOVE[name] = arguments_of


def arguments_of(name: str) -> frozenset[str]:
    """The arguments that calls of a tool may have, or of any for `*`. Raises KeyError."""
    if name == EVERY_TOOL:
        return frozenset().union(*map(arguments_of, (*TOOLS, *MADE_ABOVE)))
    if name in MADE_ABOVE:
        return MADE_ABOVE[name](name)
    return frozenset(TOOLS[name].parameters["properties"])


def is_known(name: str) -> bool:
    """Whether a tool has this name."""
    return name in TOOLS or name in MADE_ABOVE


def _require_free(name: str) -> None:
    if is_known(name) or name == EVERY_TOOL:
        raise ValueError(f"a tool named {name!r} exists already")


def check_names(names: Iterable[str]) -> None:
    """Raise `UnknownTools` if a name is neither a tool nor `*`."""
    valid = (*TOOLS, *MADE_ABOVE)
    unknown = tuple(name for name in names if name not in {*valid, EVERY_TOOL})
    if unknown:
        raise UnknownTools(unknown, valid)


for _tool in (Read(), Edit(), Write(), Bash(), Glob(), Grep(), WebFetch(), TodoWrite()):
    register(_tool)
