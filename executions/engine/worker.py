"""The worker process: its keeper, made when Celery is ready and ended when Celery stops."""

from __future__ import annotations

import gc
import os
import socket
import threading
from typing import Any

from celery.signals import worker_init, worker_shutdown, worker_shutting_down
from django.conf import settings

from agents.runtime.llm import load_providers
from executions.engine.keeper import Keeper
from executions.engine.slots import WakeWhenFree
from executions.engine.sweep import sweep

_lock = threading.Lock()
_worker: WorkerProcess | None = None


class WorkerProcess:
    """This process as executions see it."""

    def __init__(self, *, queues: list[str], concurrency: int) -> None:
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.keeper = Keeper(name=self.name, queues=queues, concurrency=concurrency, sweep=sweep)
        self.keeper.start()


def start(*, queues: list[str], concurrency: int) -> WorkerProcess:
    """Make this process a worker, once."""
    global _worker  # noqa: PLW0603  One process is one worker.
    with _lock:
        if _worker is None:
            _worker = WorkerProcess(queues=queues, concurrency=concurrency)
    return _worker


def current() -> WorkerProcess:
    """The worker that this process is; a task that runs elsewhere is a mistake."""
    assert _worker is not None, "this process is no worker"
    return _worker


@worker_init.connect
def _start(sender: Any = None, **_: Any) -> None:
    # Better before the first lease than in the middle of one.
    load_providers(settings.SIGNALBOX_DEFAULT_MODEL, os.environ)
    # What is there by now stays. Looking through it for rubbish took 0.2 s in the middle of
    # loading a transcript of 10,000 entries, which makes many objects at once.
    gc.collect()
    gc.freeze()
    queues = sorted(str(name) for name in sender.app.amqp.queues.consume_from)
    sender.app.steps["consumer"].add(WakeWhenFree)
    start(queues=queues, concurrency=sender.concurrency or 1)


@worker_shutting_down.connect
def _drain(**_: Any) -> None:
    if _worker is not None:
        _worker.keeper.drain()


@worker_shutdown.connect
def _end(**_: Any) -> None:
    if _worker is not None:
        _worker.keeper.end()
