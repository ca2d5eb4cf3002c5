"""Real worker processes for tests: started on the test's own database and Redis, and waited for."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from django.db import connection

from executions.models import TERMINAL, Execution, Worker

ROOT = Path(__file__).resolve().parent.parent
# On a busy machine a worker takes a minute to what takes a second on a quiet one.
PATIENCE = 90.0


def wait_until(fact: Callable[[], object], *, seconds: float = PATIENCE) -> None:
    """Return when `fact` holds; fail, saying what did not come about, after so many seconds."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {seconds} s still not: {fact}")
        time.sleep(0.02)


def environment() -> dict[str, str]:
    """The environment of a process that works on this test's database and Redis."""
    parts = urlsplit(os.environ["DATABASE_URL"])
    database = str(connection.settings_dict["NAME"])
    return os.environ | {
        "DATABASE_URL": urlunsplit(parts._replace(path=f"/{database}")),
        "PYTHONPATH": str(ROOT),
    }


class WorkerProcess:
    """One Celery worker with a process group of its own."""

    def __init__(self, *, concurrency: int = 8, queues: str = "executions,default", **env: str):
        arguments = f"-m celery -A config worker --pool threads --concurrency {concurrency}"
        options = f"--queues {queues} --without-gossip --without-mingle -l INFO -n test{id(self)}@t"
        self.log = Path(os.environ["SIGNALBOX_HOME"]) / f"worker-{os.getpid()}-{id(self)}.log"
        self._out = self.log.open("ab")
        self.process = subprocess.Popen(
            [sys.executable, *arguments.split(), *options.split()],
            cwd=ROOT,
            env=environment() | env,
            stdout=self._out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self.process.pid

    def wait_until_alive(self) -> None:
        # A process begins in two seconds, on a busy machine in a minute.
        wait_until(
            lambda: self._is_dead() or Worker.objects.filter(pid=self.pid).exists(), seconds=120
        )
        # It signs before it listens to signals: told to end before that, it would just be gone.
        wait_until(lambda: self._is_dead() or self._catches(signal.SIGTERM), seconds=120)
        if self._is_dead():
            raise AssertionError(self.log.read_text()[-4000:])

    def _catches(self, number: int) -> bool:
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        caught = next(line for line in lines if line.startswith("SigCgt:"))
        return bool(int(caught.split()[1], 16) >> (number - 1) & 1)

    def _is_dead(self) -> bool:
        return self.process.poll() is not None

    def send(self, number: int) -> None:
        """Send a signal to the worker's main process."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """End it as a power cut would."""
        if not self._is_dead():
            self.send(signal.SIGKILL)
        self.process.wait()

    def stop(self, *, seconds: float = 40.0) -> int:
        """End it as an operator would; returns the exit code."""
        if not self._is_dead():
            self.send(signal.SIGTERM)
        code = self.process.wait(timeout=seconds)
        self._out.close()
        return code


@contextlib.contextmanager
def worker(**options: object) -> Iterator[WorkerProcess]:
    """A live worker for the length of the block."""
    process = WorkerProcess(**options)  # type: ignore[arg-type]  # Handed on as they are.
    try:
        process.wait_until_alive()
        yield process
    except BaseException:
        sys.stderr.write(f"\n--- worker {process.pid} ---\n{process.log.read_text()[-3000:]}\n")
        raise
    finally:
        process.kill()


def ended(*executions: Execution) -> bool:
    """Whether all of them have reached an end."""
    rows = Execution.objects.filter(pk__in=[execution.pk for execution in executions])
    return not rows.exclude(status__in=TERMINAL).exists()
