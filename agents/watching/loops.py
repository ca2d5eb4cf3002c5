"""What belongs to one event loop: objects that two cannot share, tasks that outlive a request."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, None]]


class PerLoop(Generic[T]):
    """Makes its object when a loop first asks, and forgets those of loops that are closed."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._made: dict[asyncio.AbstractEventLoop, T] = {}

    def __call__(self) -> T:
        """The object of the loop that runs now."""
        loop = asyncio.get_running_loop()
        if loop not in self._made:
            self._made = {old: made for old, made in self._made.items() if not old.is_closed()}
            self._made[loop] = self._make()
        return self._made[loop]


class Service:
    """One task for all who need its work."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._task: asyncio.Task[None] | None = None

    def ensure(self) -> None:
        """Have it running; one that ended by a mistake is started again by the next."""
        if self._task is None or self._task.done():
            # Not in the context of the request that came first, whose thread it would use.
            self._task = asyncio.get_running_loop().create_task(
                self._work(), context=contextvars.Context()
            )
