"""The pytest plugin that gives a test run its own PostgreSQL and Redis, unless it is given some.

It is loaded before Django reads its settings. Workers of one run share both servers: each has its
own test database (pytest-django) and its own numbered Redis database.
"""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from config import embedded

os.environ.setdefault("SIGNALBOX_LEASE_SECONDS", "2")
os.environ.setdefault("SIGNALBOX_SWEEP_SECONDS", "1")
os.environ.setdefault("SIGNALBOX_ALLOW_UNCONFINED_BASH", "")

_started: list[tuple[embedded.Services, Path]] = []


def _start() -> None:
    folder = Path(tempfile.mkdtemp(prefix="signalbox-test-"))
    services = embedded.ensure(folder, durable=False)
    _started.append((services, folder))
    for name, url in services.urls.items():
        os.environ.setdefault(name, url)
    os.environ["SIGNALBOX_HOME"] = str(folder)


def _choose_redis_database() -> None:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    number = int(worker.removeprefix("gw")) + 1 if worker else 0
    base, _, _ = os.environ["REDIS_URL"].partition("?")
    os.environ["REDIS_URL"] = f"{base.rstrip('/').removesuffix('/0')}/{number}"


if "PYTEST_XDIST_WORKER" not in os.environ and not (
    os.environ.get("DATABASE_URL") and os.environ.get("REDIS_URL")
):
    _start()
if os.environ.get("PYTEST_XDIST_WORKER"):
    _choose_redis_database()


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    for services, folder in _started:
        services.leave()
        shutil.rmtree(folder, ignore_errors=True)
