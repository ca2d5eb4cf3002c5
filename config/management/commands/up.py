"""Run the whole of Signalbox in one terminal: web, worker and beat."""

import sys
import time
import uuid
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from config import listening, services
from config.embedded import EmbeddedError
from config.supervisor import Program, Supervisor

QUEUES = "executions,jobs,deliveries,default"
MIGRATION_LOCK = 5_167_111_001  # Any number that nobody else locks here.
LOOK_AFTER_SERVICES = 2.0  # Seconds.


class Command(BaseCommand):
    """Migrate, then run web, worker and beat until Ctrl-C."""

    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare where to listen and how much to run."""
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
        parser.add_argument(
            "--port", type=int, help="port to listen on, 0 for any (default: the first from 8000)"
        )
        parser.add_argument("--workers", type=int, default=1, help="worker processes")
        parser.add_argument("--concurrency", type=int, default=64, help="threads of each worker")
        parser.add_argument(
            "--demo", action="store_true", help="carry out one execution before your eyes"
        )
        parser.add_argument("--no-demo", dest="demo", action="store_false")

    def handle(self, **options: object) -> None:
        """Run until a signal; see the arguments."""
        try:
            door = listening.take(str(options["host"]), _number(options["port"]))
        except (listening.PortTakenError, OSError) as error:
            raise CommandError(str(error)) from error
        migrate()
        home = services.home()
        home.mkdir(parents=True, exist_ok=True)
        workers = [
            worker(number, concurrency=int(str(options["concurrency"])))
            for number in range(1, int(str(options["workers"])) + 1)
        ]
        # By port: two starts in one folder must not write one file.
        schedule = home.absolute() / f"beat-schedule-{door.port}"
        programs = [web(door), *workers, beat(str(schedule))]
        supervisor = Supervisor(programs, folder=services.BASE_DIR)
        supervisor.run(Watch(supervisor, door, demo=bool(options["demo"])))


@dataclass
class Watch:
    """What we look after while the programs run: the first answer of web, and our services."""

    supervisor: Supervisor
    door: listening.Door
    demo: bool
    answered: bool = False
    looked: float = 0.0

    def __call__(self) -> None:
        """One glance."""
        if not self.answered and self.door.is_answered():
            self.answered = True
            self._welcome()
        if time.monotonic() - self.looked >= LOOK_AFTER_SERVICES:
            self._look_after_services()
            self.looked = time.monotonic()

    def _welcome(self) -> None:
        self.supervisor.say(f"Signalbox listens on {self.door.url} (Ctrl-C stops it)")
        if self.demo:
            argv = (sys.executable, "manage.py", "demo", "--url", self.door.url)
            self.supervisor.add(Program("demo", argv, foreground=True))

    def _look_after_services(self) -> None:
        try:
            for kind in services.revive():
                self.supervisor.say(f"the embedded service of {kind} had died and runs again")
        except EmbeddedError as error:
            self.supervisor.say(str(error))


def web(door: listening.Door) -> Program:
    """The ASGI server on the socket of ours."""
    fd = door.listener.fileno()
    asgi = ("config.asgi:application", "--fd", str(fd), "--lifespan", "off")
    argv = (sys.executable, "-m", "uvicorn", *asgi)
    # Open streams would hold a stop for as long as their readers stay.
    quiet = ("--no-access-log", "--timeout-graceful-shutdown", "5")
    # uvicorn would believe any program of this host which address it speaks for.
    blunt = ("--no-proxy-headers",)
    return Program("web", argv + quiet + blunt, "cyan", fds=(fd,))


def worker(number: int, *, concurrency: int) -> Program:
    """One Celery worker process, under a name that no other process anywhere has."""
    name = f"worker{number}-{uuid.uuid4().hex[:8]}@%h"
    argv = _celery("worker", "--pool", "threads", "-n", name)
    rest = ("--concurrency", str(concurrency), "--queues", QUEUES)
    return Program(
        f"worker{number}", argv + rest + ("--without-gossip", "--without-mingle"), "green"
    )


def beat(schedule: str) -> Program:
    """The clock of the ticks."""
    argv = _celery("beat", "--schedule", schedule, "--pidfile=")
    return Program("beat", argv, "yellow")


def migrate() -> None:
    """Bring the database up to date, one process at a time."""
    with _migration_lock():
        call_command("migrate", interactive=False, verbosity=0)
    connection.close()
    # The supervisor needs no database from here on.
    if close_pool := getattr(connection, "close_pool", None):
        close_pool()


@contextmanager
def _migration_lock() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        try:
            yield
        finally:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [MIGRATION_LOCK])


def _celery(*arguments: str) -> tuple[str, ...]:
    # Celery warns of root because of pickle, which we do not accept.
    calm = ("-W", "ignore:You're running the worker")
    return (sys.executable, *calm, "-m", "celery", "--quiet", "-A", "config", *arguments)


def _number(option: object) -> int | None:
    return option if isinstance(option, int) else None
