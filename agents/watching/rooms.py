"""Waiting for things to come about: any number of waiters, one look a second for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from agents.watching import looks
from agents.watching.hints import Hint, heard
from agents.watching.rounds import Rounds

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen(Generic[T]):
    """What a look found of one thing; `is_over` says that nobody need wait for it any longer."""

    thing: T
    is_over: bool


@dataclass(eq=False, slots=True)
class _Waiter(Generic[T]):
    over: asyncio.Future[None]
    last: T | None = None


class WaitingRoom(Generic[T]):
    """The waiters of one loop for things of one sort, and the task that looks for all of them.

    `look` reads things by id, in a thread; `channel` names where hints of one are published, and
    `matters` says which hints are worth a look. Hints and looks: either alone is enough.
    """

    def __init__(
        self,
        look: Callable[[list[UUID]], Mapping[UUID, Seen[T]]],
        channel: Callable[[UUID], str],
        matters: Callable[[Hint], bool] = lambda hint: True,
    ) -> None:
        self._read = look
        self._channel = channel
        self._matters = matters
        self._waiters: dict[UUID, set[_Waiter[T]]] = {}
        self._rounds = Rounds(self._waiters, self._look)

    @property
    def count(self) -> int:
        """How many waiters there are now."""
        return sum(len(waiters) for waiters in self._waiters.values())

    async def wait(self, key: UUID, seconds: float) -> T | None:
        """The thing once it is over, else what was last seen of it after so many seconds.

        That is at most a second old; None if nothing was seen. A caller that goes away
        (`CancelledError`) leaves nothing behind.
        """
        waiter: _Waiter[T] = _Waiter(asyncio.get_running_loop().create_future())
        self._enter(key, waiter)
        try:
            with (
                heard(self._channel(key), lambda hint: self._hear(key, hint)),
                suppress(TimeoutError),
            ):
                async with asyncio.timeout(seconds):
                    await waiter.over
        finally:
            self._leave(key, waiter)
        return waiter.last

    def _enter(self, key: UUID, waiter: _Waiter[T]) -> None:
        self._waiters.setdefault(key, set()).add(waiter)
        self._rounds.begin()

    def _leave(self, key: UUID, waiter: _Waiter[T]) -> None:
        others = self._waiters[key]
        others.discard(waiter)
        if not others:
            del self._waiters[key]

    def _hear(self, key: UUID, hint: Hint | None) -> None:
        if hint is None or self._matters(hint):
            self._rounds.tell(key)

    async def _look(self, keys: list[UUID]) -> None:
        found = await looks.look(lambda: self._read(keys))
        for key, seen in found.items():
            for waiter in self._waiters.get(key, ()):
                waiter.last = seen.thing
                if seen.is_over and not waiter.over.done():
                    waiter.over.set_result(None)
