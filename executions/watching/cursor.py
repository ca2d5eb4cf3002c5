"""Places in streams of executions, as text: a number, or for many executions an opaque cursor.

A cursor has one number for each execution, after the last eight bytes of its id: in a UUIDv7
(RFC 9562, 5.7) they are random. It is about 14 characters long for each, so that trees of some
hundred executions fit into the header of a request.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from uuid import UUID

# Numbers reached, by `key` of the execution.
Place = Mapping[bytes, int]

_NUMBER = re.compile(r"[0-9]{1,10}")
_CURSOR = re.compile(r"t([A-Za-z0-9_-]{0,60000})")
_MOST = 2**31 - 1
_KEY_BYTES = 8
_MORE = 0x80


def key(execution_id: UUID) -> bytes:
    """How a cursor names an execution."""
    return execution_id.bytes[-_KEY_BYTES:]


def number(text: str) -> int:
    """The number that was written so. Raises ValueError."""
    if not _NUMBER.fullmatch(text) or int(text) > _MOST:
        raise ValueError(text)
    return int(text)


def parse(text: str) -> Place:
    """The place that was written so. Raises ValueError."""
    found = _CURSOR.fullmatch(text)
    if found is None:
        raise ValueError(text)
    packed = urlsafe_b64decode(found[1] + "=" * (-len(found[1]) % 4))
    place, at = {}, 0
    while at < len(packed):
        name, at = packed[at : at + _KEY_BYTES], at + _KEY_BYTES
        place[name], at = _unpacked(packed, at)
    return place


class Cursor:
    """The numbers that a stream has reached, of which one changes at a time."""

    def __init__(self) -> None:
        self._packed: dict[UUID, bytes] = {}

    def reach(self, execution_id: UUID, seq: int) -> None:
        """An execution has got to this number."""
        if seq:
            self._packed[execution_id] = key(execution_id) + _packed(seq)

    def __str__(self) -> str:
        return "t" + urlsafe_b64encode(b"".join(self._packed.values())).decode().rstrip("=")


def _packed(value: int) -> bytes:
    """Seven bits a byte, the lowest first; all but the last byte have the eighth bit set."""
    packed = bytearray()
    while value >= _MORE:
        packed.append(value % _MORE | _MORE)
        value //= _MORE
    packed.append(value)
    return bytes(packed)


def _unpacked(packed: bytes, at: int) -> tuple[int, int]:
    """The value that begins there, and where the next thing begins. Raises ValueError."""
    value, weight = 0, 1
    while at < len(packed) and value <= _MOST:
        byte, at = packed[at], at + 1
        value, weight = value + byte % _MORE * weight, weight * _MORE
        if byte < _MORE and value <= _MOST:
            return value, at
    raise ValueError(packed)
