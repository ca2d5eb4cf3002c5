"""What an execution shows while it works and nobody keeps: pieces of a reply, progress, data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from agents.watching.hints import Hint
from executions.event_types import EPHEMERAL

RESET = "reset"
# What the runtime calls a piece of a reply, as the API does.
_NAMES = {"text": "token"}
_OF_A_REPLY = frozenset({"token", "thinking"})


@dataclass(frozen=True, slots=True)
class Piece:
    """Something shown, ready to be sent to any number of readers."""

    type: str
    written: bytes

    def is_among(self, types: frozenset[str]) -> bool:
        """Whether a reader of these types (none named: all) is shown it."""
        asks = _OF_A_REPLY if self.type == RESET else {self.type}
        return not types or not types.isdisjoint(asks)


def piece_of(execution_id: UUID, hint: Hint) -> Piece | None:
    """What the hint shows; None for a hint that shows nothing."""
    kind = str(hint.get("kind", ""))
    name = _NAMES.get(kind, kind)
    if name not in EPHEMERAL and name != RESET:
        return None
    shown: dict[str, object] = {"exec_id": str(execution_id)}
    shown |= {fact: hint[fact] for fact in ("turn", "attempt", "data") if fact in hint}
    if name in _OF_A_REPLY:
        shown["text"] = hint.get("token", "")
    return Piece(name, event(name, shown))


def event(name: str, shown: Mapping[str, object]) -> bytes:
    """An event without an id: whoever reconnects does not ask for it again."""
    return f"event: {name}\ndata: {json.dumps(shown, separators=(',', ':'))}\n\n".encode()
