"""The one asyncio loop of a process, on which every model and HTTP client lives."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_CLOSE_SECONDS = 5.0


class Portal:
    """A loop in a daemon thread, started by the first `submit` and again after `close`.

    One loop with shared clients carried 65 model calls a second where a loop per call carried 23
    (measured at 1 s latency on two cores), and a client that is used on a second loop fails.
    Nothing that must not be late belongs here: leases are renewed by a plain thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run the coroutine on the loop; cancelling the future cancels it.

        A coroutine that waits for the `result()` of another one here blocks the loop for ever.
        """
        with self._lock:
            return asyncio.run_coroutine_threadsafe(coroutine, self._running_loop())

    def close(self) -> None:
        """Cancel what still runs, let it clean up for up to five seconds, and end the thread."""
        with self._lock:
            thread, loop = self._thread, self._loop
            self._thread = self._loop = None
        if thread is None or loop is None or not thread.is_alive():
            return
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_CLOSE_SECONDS)

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            return self._loop
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=_serve, args=(loop,), name="portal", daemon=True)
        self._loop = loop
        self._thread.start()
        return loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    """Run the loop until it is stopped, then cancel and await whatever is left, and close it."""
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.wait(left, timeout=_CLOSE_SECONDS))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


_portal = Portal()


def submit(coroutine: Coroutine[Any, Any, T]) -> Future[T]:
    """Run the coroutine on this process's loop; cancelling the future cancels it."""
    return _portal.submit(coroutine)


def close() -> None:
    """End this process's loop; a later `submit` starts another."""
    _portal.close()


def _forget() -> None:
    """Start afresh: a forked child inherits neither the thread nor a free lock."""
    global _portal  # noqa: PLW0603 - the process-wide portal is replaced exactly here.
    _portal = Portal()


os.register_at_fork(after_in_child=_forget)
