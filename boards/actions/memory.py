"""What a board remembers."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import transaction

from agents.activity import Actor, Target, record
from boards.models import Board, MemoryEntry

CHAT = "chat"


@transaction.atomic
def remember(
    board: Board, content: str, *, by: Actor, tags: Iterable[str] = (), source: str = ""
) -> MemoryEntry:
    """Keep one thing in a board's memory."""
    kept = list(dict.fromkeys(tags))
    entry = MemoryEntry.objects.create(
        board=board,
        content=content,
        tags=kept,
        source=source,
        is_chat=CHAT in kept,
        author_kind=by.kind,
        author_id=by.id,
        author_name=by.name[:200],
    )
    about = Target(board_id=board.id)
    record(board.organization_id, "memory.added", by=by, target=about, entry_id=str(entry.id))
    return entry
