"""The ground of a measurement: services that keep what they are given, a database, workers."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE = 600.0
# Set for a worker that says where its time goes; see `tracing`.
TRACED = "SIGNALBOX_BENCH_TRACED"


@contextlib.contextmanager
def ground() -> Iterator[Path]:
    """PostgreSQL (with fsync) and Redis of our own in a folder that is removed after the block.

    Django is ready within the block, the database is migrated, and the environment names both.
    """
    from config import embedded

    folder = Path(tempfile.mkdtemp(prefix="signalbox-bench-"))
    try:
        with embedded.ensure(folder, durable=True, kinds=("DATABASE_URL", "REDIS_URL")) as services:
            os.environ.update(
                services.urls,
                SIGNALBOX_HOME=str(folder),
                SIGNALBOX_LOG_LEVEL="WARNING",
                DJANGO_SETTINGS_MODULE="config.settings",
            )
            _make_ready()
            yield folder
            _let_go()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make_ready() -> None:
    import django

    django.setup()
    from django.core.management import call_command

    import config.celery  # noqa: F401  The application that `send_task` finds.
    from tests.benchmarks import tasks

    call_command("migrate", interactive=False, verbosity=0)
    tasks.create_table()


def _let_go() -> None:
    from django.db import connection

    connection.close()
    if close_pool := getattr(connection, "close_pool", None):
        close_pool()


class BenchWorker:
    """A Celery worker of one process, as `manage.py up` starts it, with our tasks besides."""

    def __init__(self, folder: Path, *, concurrency: int, env: Mapping[str, str]) -> None:
        self.log = folder / f"worker-{time.monotonic_ns()}.log"
        self._out = self.log.open("wb")
        arguments = f"-A config worker --pool threads --concurrency {concurrency}"
        options = (
            f"-Q executions,jobs,default --without-gossip --without-mingle -n b{id(self)}@bench"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.worker", *arguments.split(), *options.split()],
            cwd=ROOT,
            env=os.environ | {"SIGNALBOX_PROCESS": "bench-worker"} | dict(env),
            stdout=self._out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self.process.pid

    def wait_until_alive(self) -> None:
        from executions.models import Worker

        poll_until(lambda: self.is_dead() or Worker.objects.filter(pid=self.pid).exists())
        if self.is_dead():
            raise RuntimeError(self.log.read_text()[-4000:])

    def is_dead(self) -> bool:
        return self.process.poll() is not None

    def stop(self) -> None:
        """End it as an operator would, and by force when that takes too long."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._out.close()


@contextlib.contextmanager
def worker(folder: Path, *, concurrency: int, **env: str) -> Iterator[BenchWorker]:
    """A live worker for the length of the block."""
    process = BenchWorker(folder, concurrency=concurrency, env=env)
    try:
        process.wait_until_alive()
        yield process
    finally:
        process.stop()


@contextlib.contextmanager
def model_server(*, latency: float) -> Iterator[str]:
    """The address of a model server in a process of its own that answers after so many seconds."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.model_server", "--port", "0", "--latency", str(latency)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()


def poll_until(fact: Callable[[], Any], *, every: float = 0.02, seconds: float = PATIENCE) -> None:
    """Return when `fact` holds; raise `TimeoutError` after so many seconds."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not within {seconds:g} s: {fact}")
        time.sleep(every)
