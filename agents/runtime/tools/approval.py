"""Says which tool calls need a person's approval, by their tool or by patterns of their arguments.

An entry is a tool's name, `"Bash"`, or a tool with patterns: `{"tool": "Bash", "arguments":
{"command": "*git push*"}}`. An entry holds a call whose every named argument fits its pattern; an
argument that the call leaves out fits none. `*` in the place of a tool is any tool.

In a pattern `*` stands for anything, nothing and line breaks included, and every other character
for itself. Case is not looked at, and any run of blanks or line breaks counts as one space, of
which none is at either end: a guard asks rather once too often. What is no text is compared as
JSON.

Ids are given in one spelling, which the tools hold models to. A board tool also has `board_id`
where the model leaves that out: the board on which its agent has its seat.

A pattern sees what the model wrote, and not what a shell or a file system makes of it. `git push*`
does not hold `make && git push`, which `*git push*` does; and neither holds `g''it push`, a
variable, or a script that pushes. Where a call must never pass unseen, name the tool alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from agents.runtime.tools.registry import EVERY_TOOL

ANYTHING = "*"


def needs_approval(entries: Iterable[Any], name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether any of the entries holds a call of this tool with these arguments."""
    return any(_holds(entry, name, arguments) for entry in entries)


def tool_of(entry: Any) -> str:
    """The tool that a valid entry names, or `*`."""
    return str(entry if isinstance(entry, str) else entry["tool"])


def patterns_of(entry: Any) -> Mapping[str, str]:
    """The patterns of a valid entry by the arguments that they are for; of a mere name, none."""
    return {} if isinstance(entry, str) else entry.get("arguments", {})


def fits(pattern: str, value: Any) -> bool:
    """Whether an argument fits a pattern; it takes as long as the two are, whatever they are."""
    first, *rest = _plain(pattern).split(ANYTHING)
    text = _plain(value if isinstance(value, str) else _as_json(value))
    if not rest:
        return text == first
    *middle, last = rest
    at, end = len(first), len(text) - len(last)
    if at > end or not (text.startswith(first) and text.endswith(last)):
        return False
    # The earliest place of each part leaves most to the next.
    for part in middle:
        found = text.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True


def _holds(entry: Any, name: str, arguments: Mapping[str, Any]) -> bool:
    if tool_of(entry) not in (name, EVERY_TOOL):
        return False
    patterns = patterns_of(entry)
    return all(key in arguments and fits(each, arguments[key]) for key, each in patterns.items())


def _as_json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()
