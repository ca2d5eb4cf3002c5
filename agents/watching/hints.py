"""Listening for hints: one subscription to Redis for all who listen on a loop."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import redis.asyncio
from django.conf import settings
from redis.asyncio.client import PubSub

from agents.watching.loops import PerLoop, Service

logger = logging.getLogger(__name__)

AGAIN_SECONDS = 1.0
Hint = dict[str, Any]
Hear = Callable[[Hint | None], None]


@contextmanager
def heard(channel: str, hear: Hear) -> Iterator[None]:
    """Call `hear` with each hint on the channel, for as long as the context lasts.

    With None once the subscription holds, and again whenever it had to be made anew: what was
    published before was told to nobody, so look.
    """
    ears = _ears()
    ears.add(channel, hear)
    try:
        yield
    finally:
        ears.remove(channel, hear)


class _Ears:
    """Who listens to what, and the task that keeps the subscription."""

    def __init__(self) -> None:
        self._listeners: dict[str, list[Hear]] = {}
        self._holding: set[str] = set()
        self._changed = asyncio.Event()
        self._service = Service(self._listen)

    def add(self, channel: str, hear: Hear) -> None:
        self._listeners.setdefault(channel, []).append(hear)
        self._changed.set()
        self._service.ensure()
        if channel in self._holding:
            hear(None)

    def remove(self, channel: str, hear: Hear) -> None:
        listeners = self._listeners[channel]
        listeners.remove(hear)
        if not listeners:
            del self._listeners[channel]
            self._changed.set()

    async def _listen(self) -> None:
        """Keep one subscription, made anew a second after it breaks, until it is cancelled."""
        me = asyncio.current_task()
        # What closes a connection may fail, and take the place of the word that it is to end.
        while me is not None and not me.cancelling():
            try:
                await self._listen_once()
            except Exception as error:
                logger.debug("Hints are not heard for a moment: %s", error)
            self._holding.clear()
            await asyncio.sleep(AGAIN_SECONDS)

    async def _listen_once(self) -> None:
        client = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=3, socket_keepalive=True
        )
        async with client, client.pubsub() as subscription:
            await subscription.connect()
            _end_if_cancelled()
            await _until_one_fails(self._subscribe(subscription), self._hear(subscription))

    async def _subscribe(self, subscription: PubSub) -> None:
        """Subscribe to exactly what is listened to; many that come at once share a command."""
        have: set[str] = set()
        while True:
            self._changed.clear()
            want = set(self._listeners)
            if new := want - have:
                await subscription.subscribe(*new)
            if gone := have - want:
                self._holding -= gone
                await subscription.unsubscribe(*gone)
            have = want
            await self._changed.wait()

    async def _hear(self, subscription: PubSub) -> None:
        while True:
            message = await subscription.get_message(timeout=None)
            if message is None or message["type"] not in ("subscribe", "message"):
                continue
            channel = message["channel"].decode()
            if message["type"] == "subscribe":
                self._holding.add(channel)
                self._tell(channel, None)
            else:
                self._tell(channel, json.loads(message["data"]))

    def _tell(self, channel: str, hint: Hint | None) -> None:
        for hear in tuple(self._listeners.get(channel, ())):
            hear(hint)


async def _until_one_fails(*parts: Coroutine[Any, Any, None]) -> None:
    """Carry out all of them, until one raises or this is cancelled.

    A task group would do, but up to Python 3.12 it leaves a task that waits for it `cancelling`
    when a part fails.
    """
    tasks = [asyncio.create_task(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _ended(tasks)


async def _ended(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks until they have ended, and whatever they end with."""
    pending: Collection[asyncio.Task[None]] = tasks
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=0.1)
    for task in tasks:
        if not task.cancelled():
            task.exception()


def _end_if_cancelled() -> None:
    """Raise CancelledError where the word to end was lost on the way.

    redis-py 8.1 loses it when it comes just as a connection is made.
    """
    me = asyncio.current_task()
    if me is not None and me.cancelling():
        raise asyncio.CancelledError


_ears = PerLoop(_Ears)
