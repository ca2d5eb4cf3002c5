"""Looking at what is watched: at once at what was told of, once a second at everything."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from uuid import UUID

from agents.watching import looks
from agents.watching.loops import Service

logger = logging.getLogger(__name__)


class Rounds:
    """The task of one loop that looks for all who watch, one look at a time.

    `watched` is the live collection of what is watched, by id; `look` is given some of it. A hint
    and the round of the second: either alone is enough.
    """

    def __init__(
        self, watched: Collection[UUID], look: Callable[[list[UUID]], Awaitable[None]]
    ) -> None:
        self._watched = watched
        self._look = look
        self._told: set[UUID] = set()
        self._somebody = asyncio.Event()
        self._news = asyncio.Event()
        self._service = Service(self._go_round)

    def begin(self) -> None:
        """Go round while there is something in `watched`: call it whenever something is added."""
        self._somebody.set()
        self._service.ensure()

    def tell(self, key: UUID) -> None:
        """Have a look at it now."""
        self._told.add(key)
        self._news.set()

    async def _go_round(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if not self._watched:
                self._somebody.clear()
                await self._somebody.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._news.wait()
            self._news.clear()
            told, self._told = self._told, set()
            if loop.time() >= due:
                told, due = set(self._watched), loop.time() + looks.SAFETY_NET_SECONDS
            await self._look_at([key for key in told if key in self._watched])

    async def _look_at(self, keys: list[UUID]) -> None:
        if not keys:
            return
        try:
            await self._look(keys)
        except Exception as error:
            # Whatever it is, those who wait are better served by the next look than by none.
            logger.warning("What is waited for could not be read: %s", error)
