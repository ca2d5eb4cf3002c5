"""What a durable run is measured beside: a bare Celery task, and one of as many plain commits."""

from __future__ import annotations

from celery import shared_task
from django.db import connection
from uuid_utils.compat import uuid7

from agents.redis import client

BARE = "tests.benchmarks.bare"
COMMITS = "tests.benchmarks.commits"

_TABLES = """
CREATE TABLE IF NOT EXISTS bench_run (id uuid PRIMARY KEY, claim uuid, step int, status text);
CREATE TABLE IF NOT EXISTS bench_event (id uuid PRIMARY KEY, run uuid, step int, data jsonb,
  UNIQUE (run, step))
"""
_BEGIN = "INSERT INTO bench_run VALUES (%s, %s, 0, 'running')"
# The least that a guarded commit can be: a row that must still be ours, and a line that says why.
_STEP = """
WITH fence AS (
  UPDATE bench_run SET step = step + 1 WHERE id = %s AND claim = %s AND status = 'running'
  RETURNING id, step
)
INSERT INTO bench_event SELECT %s, id, step, '{"what": "a step"}' FROM fence
"""


def create_table() -> None:
    """Make what the plain commits write to."""
    with connection.cursor() as cursor:
        cursor.execute(_TABLES)


@shared_task(name=BARE, ignore_result=True)  # type: ignore[untyped-decorator]  # Celery's.
def bare(done: str) -> None:
    """Say in Redis that it is done, and nothing else."""
    client().lpush(done, "1")


@shared_task(name=COMMITS, ignore_result=True)  # type: ignore[untyped-decorator]  # Celery's.
def commits(done: str, count: int) -> None:
    """As many guarded commits as a run has, each one statement and one transaction."""
    run, claim = uuid7(), uuid7()
    try:
        with connection.cursor() as cursor:
            cursor.execute(_BEGIN, [run, claim])
            for _ in range(count - 1):
                cursor.execute(_STEP, [run, claim, uuid7()])
    finally:
        connection.close()
    client().lpush(done, "1")
