"""Server-sent events: answers that go on, and hold no thread and no connection while they do."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from asgiref.sync import sync_to_async
from django.http import HttpRequest, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from agents.errors import Refusal
from agents.rest.authentication import forget_user
from agents.rest.filters import require_known
from agents.rest.plain_views import Operation, by_method, documented
from agents.rest.refusals import PlaceInvalid, UnknownEvents
from agents.rest.waiting import leave_thread
from agents.watching.looks import glance

Subject = TypeVar("Subject")
Place = TypeVar("Place")

# How often a stream that has nothing to say shows that it is alive, and whether its reader may
# still read is looked at.
BEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 1000
MEDIA_TYPE = "text/event-stream"
# A proxy that gathers would hold events back.
_HEADERS = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}

# Who asks, and what the path names, as what may be read. Raises refusals.
Door = Callable[..., Subject]

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


@dataclass(frozen=True, slots=True)
class Wanted(Generic[Subject, Place]):
    """What a reader asked for: of what, from where on, and which types (none named: all)."""

    subject: Subject
    after: Place | None
    types: frozenset[str]


@dataclass(frozen=True, slots=True)
class Sort(Generic[Subject, Place]):
    """What the streams of one sort have in common.

    `place` reads what an `id` says (raises ValueError), `types` are those that may be asked for,
    and `chunks` is a stream's text, which says something at least every so many seconds.
    """

    description: str
    types: Callable[[], frozenset[str]]
    place: Callable[[str], Place]
    chunks: Callable[[Wanted[Subject, Place], float], AsyncGenerator[bytes]]


def event_stream(
    sort: Sort[Subject, Place], door: Door[Subject], *, operation_id: str, summary: str, **more: Any
) -> Any:
    """An async view that streams what `door` lets the caller read, typed as what `path` takes."""

    async def stream(request: HttpRequest, **path: Any) -> StreamingHttpResponse:
        wanted = await sync_to_async(_opened)(sort, door, request, path)
        again = partial(glance, partial(_may_still, request, door, path, wanted.subject))
        text = _text(partial(sort.chunks, wanted), again)
        return StreamingHttpResponse(text, content_type=MEDIA_TYPE, headers=_HEADERS)

    operation = Operation(
        operation_id=operation_id,
        summary=summary,
        description=sort.description,
        responses={(200, MEDIA_TYPE): OpenApiTypes.STR},
        parameters=PARAMETERS,
        **more,
    )
    return by_method(get=documented(stream, get=operation))


def _opened(
    sort: Sort[Subject, Place], door: Door[Subject], request: HttpRequest, path: dict[str, Any]
) -> Wanted[Subject, Place]:
    subject = door(request, **path)
    require_known(request, ("after", "events"))
    types = _types(request.GET.get("events"), sort.types())
    return Wanted(subject, _place(request, sort), types)


def _types(wanted: str | None, known: frozenset[str]) -> frozenset[str]:
    if wanted is None:
        return frozenset()
    named = frozenset(wanted.split(","))
    if unknown := named - known:
        raise UnknownEvents(unknown=sorted(unknown), allowed=sorted(known))
    return named


def _place(request: HttpRequest, sort: Sort[Subject, Place]) -> Place | None:
    text = request.headers.get("Last-Event-ID") or request.GET.get("after")
    if text is None:
        return None
    try:
        return sort.place(text)
    except ValueError as error:
        raise PlaceInvalid from error


async def _text(
    chunks: Callable[[float], AsyncGenerator[bytes]], may_still: Callable[[], Awaitable[bool]]
) -> AsyncIterator[bytes]:
    """The stream's text, until its reader may no longer read."""
    # Here, since the middleware that follows the view has used the request's thread again.
    await leave_thread()
    loop = asyncio.get_running_loop()
    # Streams that were opened together, after a restart perhaps, do not beat together.
    due = loop.time() + BEAT_SECONDS * random.uniform(0.5, 1)  # noqa: S311  Nothing to guess.
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    async with aclosing(chunks(BEAT_SECONDS)) as news:
        async for chunk in news:
            yield chunk
            # Others have their turn, and a reader that has gone is noticed.
            await asyncio.sleep(0)
            if loop.time() >= due:
                if not await may_still():
                    return
                due = loop.time() + BEAT_SECONDS


def _may_still(
    request: HttpRequest, door: Door[Subject], path: dict[str, Any], subject: Subject
) -> bool:
    """Whether the caller would be let in again, to the same."""
    forget_user(request)
    try:
        return bool(door(request, **path) == subject)
    except Refusal:
        return False
