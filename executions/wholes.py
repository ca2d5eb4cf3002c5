"""Reads outputs that the ledger shows cut, in pages of bounded size."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import BinaryField, F, Func, IntegerField, Value

from executions.errors import WholeOutputNotFound
from executions.models import ToolCall, WholeOutput

PAGE_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class Page:
    """A part of an output. Offsets count bytes of its UTF-8; `next_offset` is None at the end."""

    text: str
    offset: int
    next_offset: int | None
    total_bytes: int
    is_cut: bool


def page(call: ToolCall, offset: int, *, size: int = PAGE_BYTES) -> Page:
    """The part that begins at `offset`, or at the next character; only it is sent by the database.

    Pages end between characters, so that those from each `next_offset` to the next are together
    the whole. Raises `WholeOutputNotFound`.
    """
    raw = WholeOutput.objects.filter(call=call).values_list(_bytes(offset, size), flat=True).first()
    if raw is None or call.whole_bytes is None:
        raise WholeOutputNotFound
    piece = bytes(raw)
    begin = _rest_of_a_character(piece) if offset else 0
    # An error at the end is a character that the next page begins with.
    text = piece[begin:].decode("utf-8", "ignore")
    begin += offset
    end = begin + len(text.encode())
    return Page(
        text,
        offset=begin,
        next_offset=end if end < call.whole_bytes else None,
        total_bytes=call.whole_bytes,
        is_cut=call.is_whole_cut,
    )


def _bytes(offset: int, size: int) -> Func:
    raw = Func(F("text"), Value("UTF8"), function="convert_to", output_field=BinaryField())
    first = Value(offset + 1, output_field=IntegerField())
    return Func(raw, first, Value(size), function="substring", output_field=BinaryField())


def _rest_of_a_character(piece: bytes) -> int:
    """How many bytes at the beginning belong to a character that began before."""
    return next((n for n, byte in enumerate(piece[:4]) if byte & 0xC0 != 0x80), len(piece[:4]))
