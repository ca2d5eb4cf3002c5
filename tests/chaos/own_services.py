"""A PostgreSQL or a Redis of one test alone, which may be killed without disturbing the others."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import environ
import psutil
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections

from agents import redis as ours
from config import celery_app, embedded
from config.embedded import Services
from executions import semaphore


class OwnService:
    """One service that this test alone uses, until it ends it."""

    def __init__(self, services: Services, pid_file: str) -> None:
        self._services = services
        self._pid_file = services.folder / pid_file

    @property
    def url(self) -> str:
        (url,) = self._services.urls.values()
        return url

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self, number: int) -> None:
        """End it by this signal, as its manual says."""
        self._end(number)

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """It takes connections and answers nothing for the length of the block."""
        process = self._process()
        process.suspend()
        try:
            yield
        finally:
            process.resume()

    def start(self) -> None:
        """Start it again with what it kept."""
        self._services.revive()

    def _process(self) -> psutil.Process:
        return psutil.Process(int(self._pid_file.read_text().split()[0]))

    def _end(self, number: int) -> None:
        process = self._process()
        process.send_signal(number)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(process.pid, 0)
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)


@contextlib.contextmanager
def _own(kind: str, pid_file: str, *, durable: bool) -> Iterator[OwnService]:
    folder = Path(tempfile.mkdtemp(prefix="signalbox-chaos-"))
    services = embedded.ensure(folder, durable=durable, kinds=[kind])
    try:
        yield OwnService(services, pid_file)
    finally:
        services.leave()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def own_redis(*, durable: bool) -> Iterator[OwnService]:
    """A Redis that this process and the workers it starts use; `durable` keeps its file."""
    with (
        _own("REDIS_URL", "redis/redis.pid", durable=durable) as service,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("REDIS_URL", service.url)
        patch.setattr(settings, "REDIS_URL", service.url)
        patch.setattr(celery_app.conf, "broker_url", service.url)
        _forget_redis()
        try:
            yield service
        finally:
            patch.undo()
            _forget_redis()


def _forget_redis() -> None:
    """Let the next use connect to where the settings point now."""
    ours.client.cache_clear()
    ours._silent_until = float("-inf")
    semaphore._script.cache_clear()
    celery_app._pool = None
    celery_app.amqp._producer_pool = None


@contextlib.contextmanager
def own_postgresql() -> Iterator[OwnService]:
    """A PostgreSQL with the project's tables, for this process and the workers it starts."""
    with _own("DATABASE_URL", "postgres/postmaster.pid", durable=True) as service:
        own = environ.Env.db_url_config(service.url)
        options = connection.settings_dict["OPTIONS"] | own.pop("OPTIONS", {})
        with _pointed_at(own | {"OPTIONS": options}), pytest.MonkeyPatch.context() as patch:
            patch.setenv("DATABASE_URL", service.url)
            call_command("migrate", interactive=False, verbosity=0)
            yield service


@contextlib.contextmanager
def _pointed_at(parameters: dict[str, Any]) -> Iterator[None]:
    before = dict(connection.settings_dict)
    _forget_connections()
    connection.settings_dict.update(parameters)
    try:
        yield
    finally:
        _forget_connections()
        connection.settings_dict.clear()
        connection.settings_dict.update(before)


def _forget_connections() -> None:
    connection.close()
    connections["default"].close_pool()  # type: ignore[attr-defined]  # PostgreSQL's has it.
