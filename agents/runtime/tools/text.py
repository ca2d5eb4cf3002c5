"""Makes text that programs and models produced fit to be stored and shown."""

from __future__ import annotations

import codecs
import re

REPLACEMENT = "\ufffd"

# PostgreSQL refuses NUL in text and `\u0000` in jsonb; lone surrogates have no UTF-8 form.
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_MARK_ROOM = 64


def storable(text: str | bytes) -> str:
    """The text as valid UTF-8 without NUL; what does not fit becomes the replacement character."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return _UNSTORABLE.sub(REPLACEMENT, text)


def clip(text: str, limit_bytes: int) -> tuple[str, bool]:
    """The storable text in at most `limit_bytes` of UTF-8, and whether something was left out.

    Head and tail are kept, cut between characters, with a line between them that says how many
    bytes are missing. That line stays even when the limit is too small for it.
    """
    raw = storable(text).encode()
    if len(raw) <= limit_bytes:
        return raw.decode(), False
    room = max(limit_bytes - _MARK_ROOM, 0)
    head = raw[: room - room // 2].decode("utf-8", "ignore")
    tail = raw[len(raw) - room // 2 :].decode("utf-8", "ignore")
    left_out = len(raw) - len(head.encode()) - len(tail.encode())
    return head + _mark(left_out) + tail, True


class KeptOutput:
    """The first and the last bytes of a stream of any length, in memory bounded by the limit."""

    def __init__(self, limit_bytes: int) -> None:
        self._half = max(limit_bytes // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._total = 0

    def add(self, chunk: bytes) -> None:
        self._total += len(chunk)
        room = self._half - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        self._tail += chunk[-self._half :]
        # Trimming at twice the size, not at every chunk, keeps a gigabyte of small writes cheap.
        if len(self._tail) > 2 * self._half:
            del self._tail[: -self._half]

    def text(self) -> str:
        """What was kept as storable text, with a line for what was left out."""
        tail = bytes(self._tail[-self._half :])
        left_out = self._total - len(self._head) - len(tail)
        if not left_out:
            return storable(bytes(self._head) + tail)
        head = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._head))
        return storable(head) + _mark(left_out) + storable(_from_next_character(tail))


def _from_next_character(raw: bytes) -> bytes:
    """The bytes without the rest of a character whose beginning was cut away."""
    start = 0
    while start < min(3, len(raw)) and raw[start] & 0xC0 == 0x80:
        start += 1
    return raw[start:]


def _mark(left_out: int) -> str:
    return f"\n[... {left_out} bytes left out ...]\n"
