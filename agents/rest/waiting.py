"""How an async view gives back its thread and its database connection before it waits."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeVar

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections

T = TypeVar("T")


async def few_at_once(door: asyncio.Semaphore, work: Callable[[], T]) -> T:
    """Carry out work in this request's thread, as many at once as the door lets in.

    The others wait with neither thread nor connection; after it, this request has none either.
    """
    if door.locked():
        await leave_thread()
    async with door:
        try:
            return await sync_to_async(work)()
        finally:
            await leave_thread()


async def leave_thread() -> None:
    """Close this request's connections and end its thread; the next ORM call gets new ones.

    asgiref keeps one thread for each request until its end (`ThreadSensitiveContext`), and a
    connection belongs to a thread. Call it outside any transaction; one that is open is left
    alone, and so is a thread that is not this request's own.
    """
    await sync_to_async(_close_connections)()
    context = SyncToAsync.thread_sensitive_context.get(None)
    if context is None:
        return
    executor: Executor | None = SyncToAsync.context_to_thread_executor.pop(context, None)
    if executor is not None:
        # Nothing of this request is under way in it. Waiting would block the loop.
        executor.shutdown(wait=False)


def _close_connections() -> None:
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
