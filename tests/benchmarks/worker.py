"""A Celery worker with the tasks and the tool of the benchmarks (`python -m`)."""

from __future__ import annotations

import os
import sys

import django

from tests.benchmarks.ground import TRACED


def main() -> None:
    """Prepare, and hand over to Celery."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from agents.runtime.tools import catalogue
    from tests.benchmarks import kinds, tasks  # noqa: F401  Registers them.
    from tests.benchmarks.note import Note

    catalogue.register(Note())
    if os.environ.get(TRACED):
        from tests.benchmarks import tracing

        tracing.install_in_worker()
    from celery.__main__ import main as celery

    sys.argv[0] = "celery"
    celery()


if __name__ == "__main__":
    main()
