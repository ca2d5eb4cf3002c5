"""Waiting for executions to settle, without a thread or a database connection for each waiter.

All waiters of a process share one subscription to Redis, which says when to look, and one query a
second, which looks at everything that is waited for. Either alone is enough.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from collections.abc import Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import redis.asyncio
from django.conf import settings
from django.db import connection
from redis.asyncio.client import PubSub

from executions.loops import PerLoop
from executions.models import Execution, Status
from executions.redis import channel
from executions.stream import SAFETY_NET_SECONDS

logger = logging.getLogger(__name__)

# An execution in one of these moves on by itself; in any other it has settled.
MOVING = (Status.QUEUED, Status.RUNNING, Status.CANCELLING)
_SHOWN = ("id", "status", "output", "usage", "failure_code", "failure_message", "failure_details")
_REASONS = ("pause_reason", "cancel_reason")

# Looks of all loops take turns in one thread, which has a connection for as long as a look.
_looks = ThreadPoolExecutor(max_workers=1, thread_name_prefix="waiters")


async def settled(execution: Execution, seconds: float) -> Execution:
    """The execution as it is once it no longer moves by itself, or after so many seconds.

    Its `status` tells which; after the time it is at most a second old. A caller that goes away
    (`CancelledError`) leaves nothing behind.
    """
    if execution.status not in MOVING:
        return execution
    return await _waiting_room().wait(execution, seconds)


def waiting() -> int:
    """How many waiters this loop has now."""
    return _waiting_room().count


@dataclass(eq=False, slots=True)
class _Waiter:
    execution: Execution
    settled: asyncio.Future[Execution]


class _WaitingRoom:
    """The waiters of one loop, and the two tasks that serve them."""

    def __init__(self) -> None:
        self._waiters: dict[UUID, set[_Waiter]] = {}
        self._told: set[UUID] = set()
        self._somebody = asyncio.Event()
        self._news = asyncio.Event()
        self._changed = asyncio.Event()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    @property
    def count(self) -> int:
        return sum(len(waiters) for waiters in self._waiters.values())

    async def wait(self, execution: Execution, seconds: float) -> Execution:
        waiter = _Waiter(execution, asyncio.get_running_loop().create_future())
        self._enter(waiter)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    return await waiter.settled
        finally:
            self._leave(waiter)
        return execution

    def _enter(self, waiter: _Waiter) -> None:
        self._waiters.setdefault(waiter.execution.id, set()).add(waiter)
        self._somebody.set()
        self._changed.set()
        self._ensure("look", self._look)
        self._ensure("listen", self._listen)

    def _leave(self, waiter: _Waiter) -> None:
        others = self._waiters[waiter.execution.id]
        others.discard(waiter)
        if not others:
            del self._waiters[waiter.execution.id]
            self._changed.set()
        if not self._waiters:
            self._somebody.clear()

    def _ensure(self, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have the task running; one that ended by a mistake is started again by the next."""
        task = self._tasks.get(name)
        if task is None or task.done():
            self._tasks[name] = _start(work())

    def _look_at(self, execution_id: UUID) -> None:
        self._told.add(execution_id)
        self._news.set()

    # --- looking ----------------------------------------------------------------------------------

    async def _look(self) -> None:
        """Look at what was told of at once, and at everything once a second."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            await self._somebody.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._news.wait()
            self._news.clear()
            told, self._told = self._told, set()
            if loop.time() >= due:
                told, due = set(self._waiters), loop.time() + SAFETY_NET_SECONDS
            await self._look_at_rows(told & self._waiters.keys())

    async def _look_at_rows(self, ids: Iterable[UUID]) -> None:
        wanted = list(ids)
        if not wanted:
            return
        try:
            loop = asyncio.get_running_loop()
            statuses, ended = await loop.run_in_executor(_looks, _read, wanted)
        except Exception as error:
            # Whatever it is, those who wait are better served by the next look than by none.
            logger.warning("The executions that are waited for could not be read: %s", error)
            return
        for execution_id, status in statuses.items():
            for waiter in self._waiters.get(execution_id, ()):
                waiter.execution.status = status
                if execution_id in ended and not waiter.settled.done():
                    waiter.settled.set_result(ended[execution_id])

    # --- listening --------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Keep one subscription, made anew a second after it breaks, until it is cancelled."""
        me = asyncio.current_task()
        # A task group that is cancelled while a part of it fails raises the failure alone.
        while me is not None and not me.cancelling():
            try:
                await self._listen_once()
            except* Exception as broken:
                logger.debug("Hints are not heard for a moment: %s", broken.exceptions[0])
            await asyncio.sleep(SAFETY_NET_SECONDS)

    async def _listen_once(self) -> None:
        client = redis.asyncio.Redis.from_url(
            settings.REDIS_URL, socket_connect_timeout=3, socket_keepalive=True
        )
        async with client, client.pubsub() as subscription:
            await subscription.connect()
            async with asyncio.TaskGroup() as both:
                both.create_task(self._subscribe(subscription))
                both.create_task(self._hear(subscription))

    async def _subscribe(self, subscription: PubSub) -> None:
        """Subscribe to exactly what is waited for; many that come at once share a command."""
        have: set[UUID] = set()
        while True:
            self._changed.clear()
            want = set(self._waiters)
            if new := want - have:
                await subscription.subscribe(*map(channel, new))
            if gone := have - want:
                await subscription.unsubscribe(*map(channel, gone))
            have = want
            await self._changed.wait()

    async def _hear(self, subscription: PubSub) -> None:
        while True:
            message = await subscription.get_message(timeout=None)
            if message is None or message["type"] not in ("subscribe", "message"):
                continue
            # What happened before the subscription held was told to nobody: look at that too.
            is_new = message["type"] == "subscribe"
            if is_new or "seq" in json.loads(message["data"]):
                self._look_at(UUID(message["channel"].decode().rpartition(":")[2]))


_waiting_room = PerLoop(_WaitingRoom)


def _start(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    # Not in the context of the request that came first, whose thread it would otherwise use.
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())


def _read(ids: list[UUID]) -> tuple[dict[UUID, str], dict[UUID, Execution]]:
    """The status of each, and those that have settled with what an answer shows of them."""
    try:
        rows = Execution.objects.filter(pk__in=ids)
        statuses = dict(rows.values_list("pk", "status"))
        over = [key for key, status in statuses.items() if status not in MOVING]
        shown = Execution.objects.only(*_SHOWN, *_REASONS).in_bulk(over) if over else {}
        # One that was resumed between the two reads is not shown half settled.
        return statuses, {key: row for key, row in shown.items() if row.status not in MOVING}
    finally:
        connection.close()
