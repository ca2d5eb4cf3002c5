"""Advisory locks of PostgreSQL, each with its one meaning."""

from __future__ import annotations

from uuid import UUID

import psycopg
from django.db import OperationalError, connection

# Held shared from an acquire until `admitted_at` is committed; exclusively by rebuild and
# reconciliation, so that they never see a permit whose row is not there yet.
_PERMITS = 0x51670001
_DISPATCH = 0x51670002
_DEMONSTRATION = 0x51670003
# Milliseconds; a walk that is well takes a few. Long enough for a crowd of starts, short beside
# what a Redis that hangs costs the one who is walking.
_PATIENCE = "500"


_ADMIT = """
SELECT set_config('lock_timeout', %s, true),
       pg_advisory_xact_lock(%s, hashtext(%s)), pg_advisory_xact_lock_shared(%s)
"""


class Busy(Exception):
    """Somebody else has had the lock for too long."""


def admit(organization_id: UUID) -> None:
    """Until the end of the transaction: alone in this organization's queue, shared on permits.

    One dispatcher at a time is what keeps the queue's order: two that skip each other's rows
    could give the last permit to the younger one. Raises `Busy` when its turn does not come soon:
    who dispatches after a commit must not stand in line behind a Redis that hangs. Whoever gets
    the lock later sees the rows of the one that gave up, and the sweep looks in any case.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute(_ADMIT, [_PATIENCE, _DISPATCH, str(organization_id), _PERMITS])
    except OperationalError as error:
        if isinstance(error.__cause__, psycopg.errors.LockNotAvailable):
            raise Busy from error
        raise


def permits() -> None:
    """Until the end of the transaction: nobody is being admitted."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_PERMITS])


def demonstration() -> None:
    """Until the end of the transaction: nobody else makes the demonstration."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_DEMONSTRATION])
