"""Numbers that the environment sets, refused loudly and by name where they make no sense."""

import os
from collections.abc import Mapping

from django.core.exceptions import ImproperlyConfigured


def whole(name: str, default: int, *, environ: Mapping[str, str] | None = None) -> int:
    """The whole number, 0 or more, that the variable has. Raises ImproperlyConfigured."""
    text = (os.environ if environ is None else environ).get(name, "").strip()
    if not text:
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise ImproperlyConfigured(f"{name} is {text!r}; it takes a whole number, 0 or more.")
    return int(text)
