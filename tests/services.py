"""The pytest plugin that gives a test run its own PostgreSQL and Redis, unless it is given some.

It is loaded before Django reads its settings. Workers of one run share both servers: each has its
own test database (pytest-django) and its own numbered Redis database.
"""

import os
import shutil
import signal
import tempfile
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from config import embedded

os.environ.setdefault("SIGNALBOX_LEASE_SECONDS", "2")
os.environ.setdefault("SIGNALBOX_SWEEP_SECONDS", "1")
os.environ.setdefault("SIGNALBOX_ALLOW_UNCONFINED_BASH", "")

_folder: Path | None = None
_services: embedded.Services | None = None


def _begin() -> None:
    """In the process that the run starts with: a folder of its own, and the servers in it."""
    global _folder, _services  # noqa: PLW0603  The run has one of each.
    # As Ctrl-C does, so that the servers end with a run that a time limit ends.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    _folder = Path(tempfile.mkdtemp(prefix="signalbox-test-"))
    os.environ["SIGNALBOX_HOME"] = str(_folder)
    missing = [kind for kind in ("DATABASE_URL", "REDIS_URL") if not os.environ.get(kind)]
    if missing:
        _services = embedded.ensure(_folder, durable=False, kinds=missing)
        os.environ.update(_services.urls)


def _choose_redis_database(worker: str) -> None:
    parts = urlsplit(os.environ["REDIS_URL"])
    number = int(worker.removeprefix("gw")) + 1
    os.environ["REDIS_URL"] = urlunsplit(parts._replace(path=f"/{number}"))


if worker_name := os.environ.get("PYTEST_XDIST_WORKER"):
    _choose_redis_database(worker_name)
else:
    _begin()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    if _services is not None:
        _services.leave()
    if _folder is not None:
        shutil.rmtree(_folder, ignore_errors=True)
