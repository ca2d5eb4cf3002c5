"""Lets a worker take its next message as soon as one of its threads is free."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Any

from celery import bootsteps
from celery.worker.consumer.tasks import Tasks


class WakeWhenFree(bootsteps.StartStopStep):  # type: ignore[misc]  # Celery is not typed.
    """Wakes Celery's loop at the end of each task.

    With `worker_disable_prefetch` (celery 5.7.0) no message is taken while all threads are busy,
    and nothing tells the loop that one is free: it looks again when something else wakes it, up
    to a second later. A worker of 64 threads could not carry out more than 64 short runs a second.
    """

    requires = (Tasks,)

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.settimeout(0)
        self._is_told = False

    def start(self, consumer: Any) -> None:
        """Listen on the loop of this connection; it is a new one after a lost connection."""
        if consumer.hub is not None:
            consumer.hub.add_reader(self._reader, self._woken)
            self._tell_of_ends(consumer.pool)

    def _tell_of_ends(self, pool: Any) -> None:
        if self._is_told:
            return
        self._is_told = True
        on_apply = pool.on_apply

        def on_apply_and_wake(*arguments: Any, **named: Any) -> Any:
            result = on_apply(*arguments, **named)
            if future := getattr(result, "f", None):  # The thread pool's.
                future.add_done_callback(self._wake)
            return result

        pool.on_apply = on_apply_and_wake

    def _wake(self, _: Any) -> None:
        # A full buffer wakes it just as well.
        with suppress(BlockingIOError):
            self._writer.send(b"\0")

    def _woken(self) -> None:
        with suppress(BlockingIOError):
            self._reader.recv(4096)
