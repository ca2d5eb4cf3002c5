"""What one reader has still to be given: bounded, so that a slow one holds up nobody."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Backlog(Generic[T]):
    """The news of one reader, of one loop; `room` is how many may wait for it.

    Where there is no room the reader is behind: it is offered no more, and has to read rows at
    its own pace until it calls `catch_up`.
    """

    def __init__(self, room: int) -> None:
        self.is_behind = False
        self._room = room
        self._news: list[T] = []
        self._arrived = asyncio.Event()

    def put(self, new: T) -> None:
        """Add what the reader must come to know: from here, or else from rows."""
        if len(self._news) >= self._room:
            self.fall_behind()
        if not self.is_behind:
            self._news.append(new)
            self._arrived.set()

    def put_if_roomy(self, new: T) -> bool:
        """Add what may be left out, and is as soon as half of the room is taken."""
        is_roomy = not self.is_behind and 2 * len(self._news) < self._room
        if is_roomy:
            self.put(new)
        return is_roomy

    def fall_behind(self) -> None:
        """There is something that the reader has to read from rows."""
        self.is_behind = True
        self._arrived.set()

    def catch_up(self) -> None:
        """The reader reads rows, from now on; what it is told meanwhile waits for it again."""
        self.is_behind = False

    async def take(self, seconds: float) -> list[T]:
        """Everything there is, as soon as there is something or the reader is behind.

        Nothing after so many seconds without either.
        """
        if not self._news and not self.is_behind:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._arrived.wait()
        taken, self._news = self._news, []
        return taken
