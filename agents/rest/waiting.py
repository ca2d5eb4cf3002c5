"""How an async view gives back its thread and its database connection before it waits."""

from concurrent.futures import Executor

from asgiref.sync import SyncToAsync, sync_to_async
from django.db import connections


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
