"""A request that waits holds neither a thread nor a database connection."""

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from django.core.asgi import get_asgi_application
from django.db import connection

from agents.models import Organization
from tests.agents.rest import urls
from tests.agents.rest.callers import key_of


async def request(app: Any, secret: str, query: bytes = b"") -> int:
    """One GET of the view that waits; the status of the answer."""
    statuses: list[int] = []
    body = [{"type": "http.request", "body": b"", "more_body": False}]
    gone = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if body:
            return body.pop()
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/api/v0/waiting",
        "query_string": query,
        "headers": [(b"host", b"testserver"), (b"authorization", f"Bearer {secret}".encode())],
    }
    await app(scope, receive, send)
    return statuses[0]


@asynccontextmanager
async def waiting(
    number: int, secret: str, query: bytes = b""
) -> AsyncIterator[asyncio.Future[list[int]]]:
    """So many requests that have come as far as their wait; released at the end."""
    urls.release = asyncio.Event()
    waiters = urls.release._waiters
    app = get_asgi_application()
    answers = asyncio.gather(*(request(app, secret, query) for _ in range(number)))
    await until(lambda: len(waiters) == number or answers.done())
    try:
        yield answers
    finally:
        urls.release.set()
        await answers


async def until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


def in_pool() -> dict[str, int]:
    pool = connection.pool  # type: ignore[attr-defined]  # PostgreSQL's backend has one.
    return pool.get_stats() if pool else {}


def is_free() -> bool:
    """Whether at most one of the pool's connections is in use."""
    stats = in_pool()
    return stats["pool_available"] >= stats["pool_size"] - 1


@pytest.mark.django_db(transaction=True)
def test_100_that_wait_hold_no_thread_and_no_connection(organization: Organization) -> None:
    secret = key_of(organization)
    before = threading.active_count()

    async def measure() -> tuple[int, bool, list[int]]:
        async with waiting(100, secret) as answers:
            # The pool takes a connection back in a thread of its own, a moment after it is given.
            await until(lambda: threading.active_count() <= before + 5 and is_free())
            threads, had_free = threading.active_count(), is_free()
        return threads, had_free, await answers

    threads, had_free, statuses = asyncio.run(measure())

    assert threads <= before + 5
    assert had_free
    assert statuses == [200] * 100


@pytest.mark.django_db(transaction=True)
def test_without_leaving_each_would_hold_a_thread(
    organization: Organization, settings: Any
) -> None:
    secret = key_of(organization)
    # Each, and not their number: those of the test before may be ending just now.
    before = set(threading.enumerate())

    async def measure() -> int:
        # More than the pool has connections would wait for one another until its timeout.
        async with waiting(10, secret, b"leave=no"):
            return len(set(threading.enumerate()) - before)

    assert asyncio.run(measure()) >= 10
