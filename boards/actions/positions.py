"""Where a card stands in its column: lowest first, and there is always room between two."""

from __future__ import annotations

import time
from uuid import UUID

from django.db import connection
from django.db.models import Min

from boards.errors import UnknownTasks
from boards.models import Task

# Below this distance two positions are numbered anew before a card goes between them.
_LEAST_GAP = 1e-6
_STEP = 1.0
_RENUMBER = """
UPDATE boards_task AS t SET position = n.number
FROM (SELECT id, row_number() OVER (ORDER BY position, id) AS number
      FROM boards_task WHERE board_id = %s AND status = %s) AS n
WHERE t.id = n.id
"""


def last() -> float:
    """A position behind all others: the time, which is what new cards get too."""
    return time.time()


def place(task: Task, *, after: UUID | None) -> None:
    """Give the task, which is in its column by now, the place behind another card, or the first.

    Does not save it. Raises UnknownTasks for a card that is not in the column.
    """
    column = Task.objects.filter(board=task.board_id, status=task.status).exclude(pk=task.pk)
    low = None
    if after is not None:
        low = column.filter(pk=after).values_list("position", flat=True).first()
        if low is None:
            raise UnknownTasks("This card is not in the column.", unknown_task_ids=[after])
    behind = column if low is None else column.filter(position__gt=low)
    high = behind.aggregate(first=Min("position"))["first"]
    if low is not None and high is not None and high - low < _LEAST_GAP:
        _renumber(task)
        return place(task, after=after)
    task.position = _between(low, high)
    return None


def _between(low: float | None, high: float | None) -> float:
    if low is None:
        return last() if high is None else high - _STEP
    return low + _STEP if high is None else (low + high) / 2


def _renumber(task: Task) -> None:
    with connection.cursor() as cursor:
        cursor.execute(_RENUMBER, [task.board_id, task.status])
