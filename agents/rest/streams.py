"""Server-sent events: answers that go on, and hold no thread and no connection while they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from agents import activity
from agents.errors import Refusal
from agents.rest.authentication import forget_user
from agents.rest.filters import require_known
from agents.rest.plain_views import Operation, by_method, documented
from agents.rest.refusals import PlaceInvalid, UnknownEvents
from agents.rest.waiting import leave_thread
from agents.watching import feed
from agents.watching.feed import Bell, Line, Scope
from agents.watching.looks import look
from agents.watching.places import Place

# How often a stream that has nothing to say shows that it is alive, and whether its reader may
# still read is looked at.
BEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 1000
MEDIA_TYPE = "text/event-stream"
# A proxy that gathers would hold events back.
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

# Who asks, and what the path names, as what may be read. Raises refusals.
Door = Callable[..., Scope]
Again = Callable[[], Awaitable[bool]]

PARAMETERS = (
    OpenApiParameter("after", str, description="The `id` of the last event that was read."),
    OpenApiParameter("events", str, description="Types of events, with commas between."),
    OpenApiParameter(
        "Last-Event-ID",
        OpenApiTypes.STR,
        OpenApiParameter.HEADER,
        description="The same as `after`, as browsers send it; it comes first.",
    ),
)
_DESCRIPTION = """\
Lines of the permanent record as they are committed: `id:` an opaque place, `event:` the type,
`data:` the line as `/activity` shows it. Without a place it begins with what happens next; the
first `id` comes at once, so that whoever reconnects misses nothing. A comment every 15 seconds
shows that it is alive. It ends when its reader may no longer read.
"""


def streaming(
    door: Door, *, operation_id: str, summary: str, besides: str = "", **more: Any
) -> Any:
    """An async view that streams what `door` lets the caller read, typed as what `path` takes.

    `besides` is what its description says of other events.
    """

    async def stream(request: HttpRequest, **path: str) -> StreamingHttpResponse:
        scope, after = await sync_to_async(_opened)(request, door, path)
        again = partial(look, partial(_may_still, request, door, path, scope))
        return StreamingHttpResponse(
            _events(scope, after, again), content_type=MEDIA_TYPE, headers=_HEADERS
        )

    operation = Operation(
        operation_id=operation_id,
        summary=summary,
        description=_DESCRIPTION + besides,
        responses={(200, MEDIA_TYPE): OpenApiTypes.STR},
        parameters=PARAMETERS,
        **more,
    )
    return by_method(get=documented(stream, get=operation))


def _opened(request: HttpRequest, door: Door, path: dict[str, str]) -> tuple[Scope, Place | None]:
    """What is to be streamed, and after which place."""
    scope = door(request, **path)
    require_known(request, ("after", "events"))
    return replace(scope, types=_types(request.GET.get("events"))), _place(request)


def _types(wanted: str | None) -> frozenset[str]:
    if wanted is None:
        return frozenset()
    named = frozenset(wanted.split(","))
    if unknown := named - activity.types():
        raise UnknownEvents(unknown=sorted(unknown), allowed=sorted(activity.types()))
    return named


def _place(request: HttpRequest) -> Place | None:
    text = request.headers.get("Last-Event-ID") or request.GET.get("after")
    if text is None:
        return None
    try:
        return Place.parse(text)
    except ValueError as error:
        raise PlaceInvalid from error


async def _events(scope: Scope, after: Place | None, may_still: Again) -> AsyncIterator[bytes]:
    """The stream's text, until its reader may no longer read."""
    # Here, since the middleware that follows the view has used the request's thread again.
    await leave_thread()
    loop = asyncio.get_running_loop()
    due = loop.time() + BEAT_SECONDS
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    async with aclosing(feed.follow(scope, after, BEAT_SECONDS)) as news:
        async for new in news:
            yield _written(new)
            # Others have their turn, and a reader that has gone is noticed.
            await asyncio.sleep(0)
            if loop.time() >= due:
                if not await may_still():
                    return
                due = loop.time() + BEAT_SECONDS


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


def _may_still(request: HttpRequest, door: Door, path: dict[str, str], scope: Scope) -> bool:
    """Whether the caller would be let in again, to the same lines."""
    forget_user(request)
    try:
        return door(request, **path) == replace(scope, types=frozenset())
    except Refusal:
        return False
