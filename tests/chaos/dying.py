"""A Celery worker that is killed at its n-th boundary: `python -m tests.chaos.dying ...`.

A boundary is the beginning or end of a transaction or of a guarded statement.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from functools import wraps
from typing import Any

import django

DIES_AT = "SIGNALBOX_CHAOS_DIES_AT"

_lock = threading.Lock()
_seen = 0


def _boundary() -> None:
    global _seen  # noqa: PLW0603  Of the process, whose end it is.
    with _lock:
        _seen += 1
        if _seen >= int(os.environ[DIES_AT]):
            os.kill(os.getpid(), signal.SIGKILL)


def _around(original: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        _boundary()
        result = original(*args, **kwargs)
        _boundary()
        return result

    return wrapped


def install() -> None:
    """Count what executions and jobs do; the sweep of an idle worker begins no transaction."""
    from django.db.backends.postgresql.base import DatabaseWrapper

    from agents import prepared
    from executions.engine import claim as claims
    from executions.engine import job_moves

    prepared.rows = _around(prepared.rows)
    claims.take = _around(claims.take)
    job_moves.take = _around(job_moves.take)
    DatabaseWrapper._commit = _around(DatabaseWrapper._commit)


def main() -> None:
    """Wrap, and hand over to Celery."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    install()
    from celery.__main__ import main as celery

    sys.argv[0] = "celery"
    celery()


if __name__ == "__main__":
    main()
