"""Reading rows for many who wait: in few threads, with a connection for as long as it takes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connection

T = TypeVar("T")

# How often everything that is waited for is looked at, whether or not a hint came.
SAFETY_NET_SECONDS = 1.0

# The loops of a process share them: what waits is many, what looks is few.
_threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="looks")
_slow_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="glances")


async def look(read: Callable[[], T]) -> T:
    """What `read` returns, read in a thread whose connection goes back afterwards."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _closing, read)


async def glance(read: Callable[[], T]) -> T:
    """The same for what nobody waits for: one at a time, so that looks are not held up."""
    return await asyncio.get_running_loop().run_in_executor(_slow_thread, _closing, read)


def _closing(read: Callable[[], T]) -> T:
    try:
        return read()
    finally:
        connection.close()
