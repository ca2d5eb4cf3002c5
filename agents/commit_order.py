"""Reads the permanent record in the order of commits, in which reading on skips nothing.

A line may be read once no transaction older than its own is still under way: whoever has read up
to there has read all that will ever be there.
"""

from __future__ import annotations

from django.db import connection
from django.db.models import Q, QuerySet

from agents.models import Activity
from agents.watching.places import Place


def transactions() -> tuple[int, int]:
    """The oldest transaction that is still under way, and the next that will begin.

    Ask before the rows are read: what was decided then, they show.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_snapshot_xmin(now)::text::bigint, pg_snapshot_xmax(now)::text::bigint"
            " FROM pg_current_snapshot() AS now"
        )
        oldest, newest = cursor.fetchone()
    return oldest, newest


def between(rows: QuerySet[Activity], after: Place, until: Place) -> QuerySet[Activity]:
    """Those of the lines that stand after one place and up to another, in their order."""
    later = Q(xact__gt=after.xact) | Q(xact=after.xact, id__gt=after.id)
    earlier = Q(xact__lt=until.xact) | Q(xact=until.xact, id__lte=until.id)
    # The bounds of `xact` alone are what the index is searched by.
    found = rows.filter(later, earlier, xact__gte=after.xact, xact__lte=until.xact)
    return found.order_by("xact", "id")
