"""Which lines an endpoint is told of: types of the permanent record, and patterns of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

from django.core.exceptions import ValidationError

from agents.activity import types

MOST = 50
LONGEST = 60
# A star stands for anything; the other signs of fnmatch are none of ours.
_PATTERN = re.compile(r"[a-z0-9_.*]+")

SHAPE: dict[str, Any] = {
    "type": "array",
    "minItems": 1,
    "maxItems": MOST,
    "items": {"type": "string", "maxLength": LONGEST, "pattern": "^[a-z0-9_.*]+$"},
    "example": ["execution.*", "task.created"],
}


def check_types(patterns: Any) -> None:
    """Raise a ValidationError unless it is a list of patterns, each of which fits some type."""
    if not isinstance(patterns, list) or not 1 <= len(patterns) <= MOST:
        raise ValidationError(f"Give a list of 1 to {MOST} types.", code="types")
    for pattern in patterns:
        if not isinstance(pattern, str) or len(pattern) > LONGEST:
            raise ValidationError(f"A type is a text of up to {LONGEST} characters.", code="types")
        if not _PATTERN.fullmatch(pattern) or not chosen([pattern]):
            raise ValidationError(
                f"No line of the record has the type {pattern!r}; a star stands for anything.",
                code="types",
            )


def chosen(patterns: Iterable[str]) -> list[str]:
    """The types that fit one of the patterns, those that came with a later version too."""
    asked = list(patterns)
    return sorted(each for each in types() if any(fnmatchcase(each, one) for one in asked))
