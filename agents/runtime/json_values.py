"""What can be kept as JSON: a value as it will be read again, or the reason why it cannot be."""

from __future__ import annotations

import json
import re
from typing import Any

LARGEST = 8 * 1024 * 1024

# PostgreSQL refuses `\u0000` in jsonb. An even number of backslashes before it is text about it.
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")


class NotStorable(ValueError):
    """The value is no JSON, or such as PostgreSQL does not keep."""


def storable(value: Any) -> Any:
    """The value as it will be read again: tuples as lists, keys as text.

    Raises NotStorable for what JSON has no form for, NUL characters, halves of surrogate pairs,
    and more than `LARGEST` bytes.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise NotStorable("It has half of a surrogate pair, which is no text.") from error
    except (TypeError, ValueError, RecursionError) as error:
        raise NotStorable(f"It is no JSON: {error}") from error
    if _NUL.search(text):
        raise NotStorable("It has a NUL character, which PostgreSQL does not keep.")
    if size > LARGEST:
        raise NotStorable(f"It has {size} bytes as JSON; {LARGEST} are kept at most.")
    return json.loads(text)
