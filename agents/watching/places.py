"""Where a line of activity stands in the order of commits, in which it can be read on from."""

from __future__ import annotations

import re
from dataclasses import dataclass
from uuid import UUID

_WRITTEN = re.compile(r"([0-9a-f]{1,15})-([0-9a-f]{32})")


@dataclass(frozen=True, order=True, slots=True)
class Place:
    """The writing transaction, and the line's id within it; as text an opaque cursor."""

    xact: int
    id: UUID

    def __str__(self) -> str:
        return f"{self.xact:x}-{self.id.hex}"

    @classmethod
    def parse(cls, text: str) -> Place:
        """The place that was written so. Raises ValueError."""
        found = _WRITTEN.fullmatch(text)
        if found is None:
            raise ValueError(text)
        return cls(int(found[1], 16), UUID(found[2]))

    @classmethod
    def before(cls, xact: int) -> Place:
        """The place before all lines of a transaction."""
        return cls(xact, UUID(int=0))
