"""Advisory locks of PostgreSQL, each with its one meaning."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

# Held shared from an acquire until `admitted_at` is committed; exclusively by rebuild and
# reconciliation, so that they never see a permit whose row is not there yet.
_PERMITS = 0x51670001
_DISPATCH = 0x51670002


def admit(organization_id: UUID) -> None:
    """Until the end of the transaction: alone in this organization's queue, shared on permits.

    One dispatcher at a time is what keeps the queue's order: two that skip each other's rows
    could give the last permit to the younger one.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_advisory_xact_lock(%s, hashtext(%s)), pg_advisory_xact_lock_shared(%s)",
            [_DISPATCH, str(organization_id), _PERMITS],
        )


def permits() -> None:
    """Until the end of the transaction: nobody is being admitted."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_PERMITS])
