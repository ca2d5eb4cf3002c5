"""Bodies that a view reads itself, once it has decided that it wants them.

Django reads every body before it calls a view. At the addresses named to `leave_bodies` it is
given none; the view takes the body by `read`, which counts while it reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest

from agents.rest.body_limit import DISCARDED_LIMITS, App, Message, Receive, Send, declared, discard
from agents.rest.refusals import BodyIncomplete, BodyTooLarge

_IN_SCOPE = "signalbox.body"
# A body of a megabyte within this is slower than any line that delivers one.
SECONDS = 30.0
_DISCARDED = DISCARDED_LIMITS * settings.API_BODY_LIMIT


def leave_bodies(app: App, *, at: Callable[[str], bool], others: App) -> App:
    """`app` for the paths of which `at` holds, their bodies unread; `others` for the rest."""

    async def chosen(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not at(scope["path"]):
            return await others(scope, receive, send)
        body = _Body(receive, declared(scope))
        return await app({**scope, _IN_SCOPE: body}, body.withheld, body.answering(send))

    return chosen


async def read(request: HttpRequest, limit: int) -> bytes:
    """The body. Raises BodyTooLarge once it is known to be, and BodyIncomplete.

    Where no server left it unread (a test's client), it is taken as it is.
    """
    body = getattr(request, "scope", {}).get(_IN_SCOPE)
    if body is None:
        found: bytes = request.read(limit + 1)
    else:
        found = await body.read(limit)
    if len(found) > limit:
        raise BodyTooLarge(limit=limit)
    return found


class _Body:
    """The body of one request: taken at most once, and thrown away if it was not wanted."""

    def __init__(self, receive: Receive, length: int) -> None:
        self._receive = receive
        self._length = length
        self._is_given = False
        self._has_ended = asyncio.Event()

    async def read(self, limit: int) -> bytes:
        """The body, cut off soon after the limit, and not begun where its length is over it."""
        if self._length > limit:
            raise BodyTooLarge(limit=limit)
        parts = bytearray()
        try:
            async with asyncio.timeout(SECONDS):
                while len(parts) <= limit and not self._has_ended.is_set():
                    parts += await self._next()
        except TimeoutError as error:
            raise BodyIncomplete from error
        return bytes(parts)

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._has_ended.set()
            raise BodyIncomplete
        if not message.get("more_body", False):
            self._has_ended.set()
        part: bytes = message.get("body", b"")
        return part

    async def withheld(self) -> Message:
        """What Django is given: no body, and then whatever comes after the real one."""
        if not self._is_given:
            self._is_given = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._has_ended.wait()
        return await self._receive()

    def answering(self, send: Send) -> Send:
        """`send`; an answer that comes before the body's end closes the connection after it."""

        async def answer(message: Message) -> None:
            if self._has_ended.is_set():
                return await send(message)
            if message["type"] == "http.response.start":
                headers = [*message.get("headers", ()), (b"connection", b"close")]
                return await send({**message, "headers": headers})
            if message.get("more_body", False):
                return await send(message)
            # A client that writes all before it reads gets to see the answer.
            await send({**message, "more_body": True})
            await discard(self._receive, _DISCARDED)
            self._has_ended.set()
            return await send({"type": "http.response.body", "body": b""})

        return answer
