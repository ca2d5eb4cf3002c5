"""Streams of the permanent record: what every view of one has in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from agents import activity
from agents.rest.events import Door, Sort, Wanted, event_stream
from agents.watching import feed
from agents.watching.feed import Bell, Line, Scope
from agents.watching.places import Place

_DESCRIPTION = """\
Lines of the permanent record as they are committed: `id:` an opaque place, `event:` the type,
`data:` the line as `/activity` shows it. Without a place it begins with what happens next; the
first `id` comes at once, so that whoever reconnects misses nothing. A comment every 15 seconds
shows that it is alive. It ends when its reader may no longer read.
"""


def streaming(
    door: Door[Scope], *, operation_id: str, summary: str, besides: str = "", **more: Any
) -> Any:
    """An async view that streams the lines which `door` lets the caller read.

    `besides` is what its description says of other events.
    """
    sort = replace(_RECORD, description=_DESCRIPTION + besides)
    return event_stream(sort, door, operation_id=operation_id, summary=summary, **more)


async def _chunks(wanted: Wanted[Scope, Place], silence: float) -> AsyncGenerator[bytes]:
    scope = replace(wanted.subject, types=wanted.types)
    async with aclosing(feed.follow(scope, wanted.after, silence)) as news:
        async for new in news:
            yield _written(new)


def _written(new: Line | Place | Bell) -> bytes:
    if isinstance(new, Line):
        return b"id: %s\nevent: %s\ndata: %s\n\n" % (
            str(new.place).encode(),
            new.type.encode(),
            new.data,
        )
    if isinstance(new, Bell):
        return b"event: inbox\ndata: {}\n\n"
    # An id alone is no event to a reader, but it is where it reads on.
    return b": alive\nid: %s\n\n" % str(new).encode()


_RECORD = Sort(_DESCRIPTION, activity.types, Place.parse, _chunks)
