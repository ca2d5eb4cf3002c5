"""Renders an action's prompt: `{{ name }}` gives way to the value of that name."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_-]*)\s*\}\}")


class MissingValues(ValueError):
    """A prompt names values that were not given; `names` has each once, in order."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(f"No value given for: {', '.join(names)}.")
        self.names = names


def placeholders(template: str) -> tuple[str, ...]:
    """The names that a template asks for, each once, in the order of their first use."""
    return tuple(dict.fromkeys(_PLACEHOLDER.findall(template)))


def render(template: str, values: Mapping[str, Any]) -> str:
    """The template with every placeholder filled: text as it is, all else as JSON.

    One pass: braces inside a value stay what they are. Raises `MissingValues` naming every
    placeholder without a value.
    """
    missing = tuple(name for name in placeholders(template) if name not in values)
    if missing:
        raise MissingValues(missing)
    return _PLACEHOLDER.sub(lambda found: _text(values[found[1]]), template)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
