"""PostgreSQL's clock: the one by which deadlines and leases are judged."""

from __future__ import annotations

from datetime import datetime

from django.db import connection
from django.db.models import DateTimeField, Func


class ClockTimestamp(Func):
    """PostgreSQL's clock at this moment; `now()` is the start of the transaction."""

    template = "clock_timestamp()"
    output_field = DateTimeField()


def clock() -> datetime:
    """PostgreSQL's time now: the one clock by which deadlines and leases are judged."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        now: datetime = cursor.fetchone()[0]
    return now
