"""Worker processes that tests stop, kill and let stand."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from executions.engine.dispatch import send
from executions.models import Execution, Status
from tests.chaos.stops import FOLDER, Stops
from tests.processes import ROOT, WorkerProcess, environment

# A run may be lost more often here than in a year elsewhere.
_ENV = {"SIGNALBOX_MAX_RECOVERIES": "1000", "SIGNALBOX_RESEND_SECONDS": "2"}

_SPARE = "spare"


class Victim(WorkerProcess):
    """A worker whose runs stand where `stops` says; with None, a worker like any other."""

    def __init__(
        self,
        stops: Stops | None = None,
        *,
        concurrency: int = 8,
        queues: str = "executions,default",
        module: str = "celery",
        **env: str,
    ) -> None:
        module = module if stops is None else "tests.chaos.worker"
        folder = {} if stops is None else {FOLDER: str(stops.folder)}
        arguments = f"-A config worker --pool threads --concurrency {concurrency}"
        self.name = f"t{os.getpid()}-{id(self)}@chaos"
        options = f"--queues {queues} --without-gossip --without-mingle -l INFO -n {self.name}"
        self.log = Path(os.environ["SIGNALBOX_HOME"]) / f"chaos-{os.getpid()}-{id(self)}.log"
        self._out = self.log.open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments.split(), *options.split()],
            cwd=ROOT,
            env=environment() | _ENV | folder | env,
            stdout=self._out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def stand_still(self) -> None:
        """Stop the process as it is, without its knowing."""
        self.send(signal.SIGSTOP)

    def go_on(self) -> None:
        self.send(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a power cut would, however often it is asked."""
        super().kill()
        self._out.close()

    def say(self) -> None:
        """Show the end of its log; pytest keeps it for tests that fail."""
        sys.stderr.write(f"\n--- worker {self.pid} ---\n{self.log.read_text()[-3000:]}\n")


class Fleet:
    """The workers of one test."""

    def __init__(self) -> None:
        self.workers: list[Victim] = []

    def add(self, stops: Stops | None = None, *, count: int = 1, **options: Any) -> list[Victim]:
        """So many more workers, all of them alive."""
        new = [Victim(stops, **options) for _ in range(count)]
        self.workers += new
        for worker in new:
            worker.wait_until_alive()
        return new

    def spare(self, stops: Stops | None = None) -> Victim:
        """A worker that only sweeps, until the work is left to it."""
        return self.add(stops, queues=_SPARE)[0]


def leave_to_the_spare() -> None:
    """Send what is admitted, and all that follows, to the spare worker: messages are hints."""
    Execution.objects.update(worker_queue=_SPARE)
    for execution in Execution.objects.filter(status=Status.QUEUED, admitted_epoch__isnull=False):
        send(execution)


@contextlib.contextmanager
def fleet() -> Iterator[Fleet]:
    """Workers that do not outlive the block."""
    ships = Fleet()
    try:
        yield ships
    finally:
        for worker in ships.workers:
            worker.kill()
            worker.say()


def processes_with(tag: str) -> list[psutil.Process]:
    """Processes that have the tag in their command line: what a tool of that run left behind."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and any(tag in word for word in process.cmdline()):
                found.append(process)
    return found
