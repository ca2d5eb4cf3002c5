"""The ASGI door: refuses a body over the limit before Django writes it to memory or disk."""

import asyncio
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import suppress
from typing import Any

from agents.rest.problems import problem_of, render
from agents.rest.refusals import BodyTooLarge
from agents.rest.request_id import choose

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

# A client that writes its whole body before it reads gets to see the answer if this much of the
# rest is read and thrown away; closing with unread bytes resets its connection.
DISCARDED_LIMITS = 16
_DISCARDED_SECONDS = 5


def limit_body(app: App, limit: int) -> App:
    """`app`, behind a count of bytes: a body over `limit` is answered with 413, unread by it.

    A body that comes in chunks is counted as it comes, and gets the Content-Length that DRF
    looks at to know that there is one.
    """

    async def bounded(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        body = b"" if declared(scope) > limit else await _body(receive, limit)
        if body is None:
            return None
        if declared(scope) > limit or len(body) > limit:
            return await _refuse(scope, receive, send, limit)
        return await app(_with_length(scope, len(body)), _replayed(body, receive), send)

    return bounded


def declared(scope: Message) -> int:
    """The Content-Length, or 0 if there is none that is a number."""
    text = _header(scope, b"content-length")
    return int(text) if re.fullmatch("[0-9]{1,20}", text) else 0


def _header(scope: Message, name: bytes) -> str:
    found: bytes = next((value for key, value in scope["headers"] if key == name), b"")
    return found.decode("latin1")


async def _body(receive: Receive, limit: int) -> bytes | None:
    """The body, cut off soon after the limit; None if the caller went away."""
    parts = bytearray()
    while len(parts) <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(parts)


def _with_length(scope: Message, length: int) -> Message:
    if not length or declared(scope):
        return scope
    headers = [pair for pair in scope["headers"] if pair[0] != b"content-length"]
    return {**scope, "headers": [*headers, (b"content-length", b"%d" % length)]}


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body in one message, then whatever else comes: the caller's going away."""
    pending = [body]

    async def replay() -> Message:
        if not pending:
            return await receive()
        return {"type": "http.request", "body": pending.pop(), "more_body": False}

    return replay


async def _refuse(scope: Message, receive: Receive, send: Send, limit: int) -> None:
    name = choose(_header(scope, b"x-request-id"))
    response = render(problem_of(BodyTooLarge(limit=limit)), name)
    headers = {**response.headers, "X-Request-Id": name, "Connection": "close"}
    lines = [(key.lower().encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": 413, "headers": lines})
    await send({"type": "http.response.body", "body": response.content, "more_body": True})
    await discard(receive, limit * DISCARDED_LIMITS)
    await send({"type": "http.response.body", "body": b""})


async def discard(receive: Receive, most: int) -> None:
    """Read on and throw away, no more than so many bytes and for no longer than is bearable."""
    with suppress(TimeoutError):
        async with asyncio.timeout(_DISCARDED_SECONDS):
            while most > 0:
                message = await receive()
                most -= len(message.get("body", b""))
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
