"""One object for each running event loop: what belongs to a loop cannot be shared by two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


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
