"""Lists the tools that exist, and checks names against the list."""

from __future__ import annotations

from collections.abc import Iterable

from agents.runtime.tools.files import Edit, Read, Write
from agents.runtime.tools.registry import EVERY_TOOL, Tool, UnknownTools
from agents.runtime.tools.search import Glob, Grep
from agents.runtime.tools.shell import Bash

TOOLS: dict[str, Tool] = {}


def register(tool: Tool) -> None:
    """Add a tool. Raises `ValueError` when its name is taken: a tool is never replaced."""
    if tool.name in TOOLS or tool.name == EVERY_TOOL:
        raise ValueError(f"a tool named {tool.name!r} exists already")
    TOOLS[tool.name] = tool


def check_names(names: Iterable[str]) -> None:
    """Raise `UnknownTools` if a name is neither a tool nor `*`."""
    unknown = tuple(name for name in names if name not in TOOLS and name != EVERY_TOOL)
    if unknown:
        raise UnknownTools(unknown, tuple(TOOLS))


for _tool in (Read(), Edit(), Write(), Bash(), Glob(), Grep()):
    register(_tool)
