"""Regular expressions that people write: bounded in time and memory, whatever they say."""

import re2
from django.core.exceptions import ValidationError

LONGEST = 500
# Bytes for one compiled pattern: with RE2's own 8 MiB, the worst ones take a second of matching.
_MEMORY = 256 * 1024


def check_pattern(pattern: str) -> None:
    """Refuse what RE2 cannot compile; look-arounds and back references are among it."""
    try:
        _compiled(pattern)
    except re2.error as error:
        raise ValidationError(f"Not a pattern of RE2: {_reason(error)}", code="invalid") from error


def fits(pattern: str, text: str) -> bool:
    """Whether the whole text matches.

    RE2 takes time linear in the text. A backtracking engine can be stopped by a time limit while
    it matches, but not while it compiles: `(a|b){999999999}` took all memory of the machine.
    """
    return _compiled(pattern).fullmatch(text) is not None


def _compiled(pattern: str) -> "re2._Regexp":
    options = re2.Options()
    options.max_mem = _MEMORY
    options.log_errors = False
    options.never_capture = True
    return re2.compile(pattern, options)  # It keeps the last 128.


def _reason(error: Exception) -> str:
    found = error.args[0] if error.args else ""
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found)
