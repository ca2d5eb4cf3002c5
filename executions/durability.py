"""Which commits wait for the disk: those that say what cannot simply be done again.

PostgreSQL loses commits that did not wait only when it or its host crashes, at most the last 0.6 s
of them (three times `wal_writer_delay`), from the end and never from the middle; a later commit
that waits takes all before it to the disk. So a crash looks as if it had come a little earlier.
A commit that waits took 0.7 ms and more where one that does not took 0.1 ms (embedded
PostgreSQL 18 on two cores).

Relaxed are an admission, a claim, and the beginning and the outcome of a tool call that may be
repeated. All that a caller was promised, what a model said, and what a tool did that cannot be
repeated waits.
"""

from __future__ import annotations

from django.db import connection


def relax() -> None:
    """Let the current transaction not wait for the disk; statements may do the same inside."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('synchronous_commit', 'off', true)")
