"""Makes text that programs and models produced fit to be stored and shown."""

from __future__ import annotations

import codecs
import re

from agents.runtime.facts import Whole
from agents.runtime.redaction import NO_SECRETS, Redactor

REPLACEMENT = "\ufffd"
# The most that is kept of an output, in bytes: its ends are, where it was longer.
WHOLE_BYTES = 4 * 1024**2

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
    bytes of how many are missing. That line stays even when the limit is too small for it.
    """
    raw = storable(text).encode()
    if len(raw) <= limit_bytes:
        return raw.decode(), False
    room = max(limit_bytes - _MARK_ROOM, 0)
    head = raw[: room - room // 2].decode("utf-8", "ignore")
    tail = raw[len(raw) - room // 2 :].decode("utf-8", "ignore")
    left_out = len(raw) - len(head.encode()) - len(tail.encode())
    return head + _mark(left_out, len(raw)) + tail, True


def whole_of(text: str, *, limit_bytes: int = WHOLE_BYTES, is_cut: bool = False) -> Whole:
    """What is kept of an output beside its cut form; `is_cut` where some is missing already."""
    kept, was_cut = clip(text, limit_bytes)
    return Whole(kept, is_cut or was_cut)


class KeptOutput:
    """The first and the last bytes of a stream of any length, in memory bounded by the limit."""

    def __init__(self, limit_bytes: int) -> None:
        self._half = max(limit_bytes // 2, 1)
        self._head = bytearray()
        self._tail = bytearray()
        self._seam = 0
        self._total = 0

    @property
    def is_cut(self) -> bool:
        """Whether something was left out."""
        return self._total > 2 * self._half

    def add(self, chunk: bytes) -> None:
        self._total += len(chunk)
        room = self._half - len(self._head)
        if room > 0:
            self._head += chunk[:room]
            chunk = chunk[room:]
        self._turn(chunk[-self._half :])

    def _turn(self, chunk: bytes) -> None:
        """Write into the tail, which is a ring once it is full: it neither moves nor grows."""
        room = self._half - len(self._tail)
        if room > 0:
            self._tail += chunk[:room]
            chunk = chunk[room:]
        before_the_seam = chunk[: self._half - self._seam]
        self._tail[self._seam : self._seam + len(before_the_seam)] = before_the_seam
        after = chunk[len(before_the_seam) :]
        self._tail[: len(after)] = after
        self._seam = (self._seam + len(chunk)) % self._half

    def text(self, redactor: Redactor = NO_SECRETS) -> str:
        """What was kept as storable text without secrets, with a line for what was left out."""
        tail = bytes(self._tail[self._seam :] + self._tail[: self._seam])
        left_out = self._total - len(self._head) - len(tail)
        if not left_out:
            return redactor.text(storable(bytes(self._head) + tail))
        head = codecs.getincrementaldecoder("utf-8")("replace").decode(bytes(self._head))
        begin = redactor.fragment(storable(head), ends_cut=True)
        end = redactor.fragment(storable(_from_next_character(tail)), begins_cut=True)
        return begin + _mark(left_out, self._total) + end

    def told(self, ending: str, redactor: Redactor = NO_SECRETS) -> str:
        """The same with how it ended in a line of its own."""
        text = self.text(redactor).rstrip("\n")
        return f"{text or '(no output)'}\n{ending}"


def _from_next_character(raw: bytes) -> bytes:
    """The bytes without the rest of a character whose beginning was cut away."""
    start = 0
    while start < min(3, len(raw)) and raw[start] & 0xC0 == 0x80:
        start += 1
    return raw[start:]


def _mark(left_out: int, total: int) -> str:
    return f"\n[... {left_out} of {total} bytes left out ...]\n"
