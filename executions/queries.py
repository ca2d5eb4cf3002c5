"""Reads with more than one line: places in the queue, estimated waits, and who is alive."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.db.models import Case, CharField, F, Prefetch, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce, Least

from executions import prepared
from executions.models import Condition, Execution, Status, Worker
from executions.states import ClockTimestamp

# What a run is taken to last on a board where none has ended yet.
USUAL_DURATION = timedelta(minutes=5)
_HISTORY = 20
_AT_LEAST_ALIVE = timedelta(seconds=10)
_KNOWN_ALIVE_SECONDS = 5.0

# Columns that may hold megabytes, and that no list shows.
_BIG = ("spec", "output", "diff", "tree")


def as_listed(rows: QuerySet[Execution]) -> QuerySet[Execution]:
    """The same rows without their big columns."""
    return rows.defer(*_BIG)


def with_conditions(rows: QuerySet[Execution]) -> QuerySet[Execution]:
    """The same rows, with what each of them waits for."""
    return rows.prefetch_related(Prefetch("conditions", Condition.objects.order_by("due_at", "id")))


_FAMILY_USAGE = """
WITH RECURSIVE family AS (
  SELECT id, usage FROM executions_execution WHERE parent_id = %(id)s
UNION ALL
  SELECT e.id, e.usage FROM family JOIN executions_execution AS e ON e.parent_id = family.id
)
SELECT count(*), coalesce(sum((usage->>'requests')::bigint), 0),
       coalesce(sum((usage->>'input_tokens')::bigint), 0),
       coalesce(sum((usage->>'output_tokens')::bigint), 0),
       coalesce(sum((usage->>'cached_tokens')::bigint), 0)
FROM family
"""


def usage_below(execution: Execution) -> dict[str, int] | None:
    """What its children, and theirs, have used so far; None where it has none."""
    row = prepared.first(_FAMILY_USAGE, {"id": execution.id})
    names = ("executions", "requests", "input_tokens", "output_tokens", "cached_tokens")
    return dict(zip(names, map(int, row), strict=True)) if row and row[0] else None


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where a queued execution stands: `position` from 1, among what shares its board.

    Without a board, among the whole organization. `estimated_wait_seconds` is unknown while its
    agent or board is paused; `blocked_by` is the scope that was full when it was last looked at,
    `agent_paused`, `board_paused`, or empty.
    """

    position: int
    estimated_wait_seconds: int | None
    blocked_by: str


def queue_place(execution: Execution) -> QueuePlace | None:
    """Its place in the queue, or None for one that is not queued or has its permit already."""
    if execution.status != Status.QUEUED or execution.admitted_epoch is not None:
        return None
    row = _with_obstacles(execution)
    if row is None:
        return None
    obstacle, slots = row
    position = _before(execution).count() + 1
    paused = obstacle.endswith("_paused")
    wait = None if paused else round(position * _usual_seconds(execution) / slots)
    return QueuePlace(position, wait, obstacle)


def _with_obstacles(execution: Execution) -> tuple[str, int] | None:
    """What stands in its way, and how many of its kind run at once."""
    obstacle = Case(
        When(agent__is_paused=True, then=Value("agent_paused")),
        When(board__is_paused=True, then=Value("board_paused")),
        default=F("blocked_by"),
        output_field=CharField(),
    )
    # LEAST passes over nulls: the tightest of the limits that there are.
    slots = Coalesce(Least("organization__max_concurrent", "board__max_concurrent"), Value(1))
    rows = Execution.objects.filter(pk=execution.pk)
    return rows.values_list(obstacle, slots).first()


def _before(execution: Execution) -> QuerySet[Execution]:
    queued = Execution.objects.filter(
        organization_id=execution.organization_id, status=Status.QUEUED, admitted_epoch=None
    )
    if execution.board_id is not None:
        queued = queued.filter(board_id=execution.board_id)
    earlier = Q(rank__lt=execution.rank) | Q(rank=execution.rank, id__lt=execution.id)
    return queued.filter(earlier)


def _usual_seconds(execution: Execution) -> float:
    """The median of the last runs that completed beside it."""
    beside = Execution.objects.filter(
        organization_id=execution.organization_id, status=Status.COMPLETED
    )
    if execution.board_id is not None:
        beside = beside.filter(board_id=execution.board_id)
    times = beside.order_by("-id").values_list("started_at", "finished_at")[:_HISTORY]
    lasted = [(end - start).total_seconds() for start, end in times if start and end]
    return statistics.median(lasted) if lasted else USUAL_DURATION.total_seconds()


# --- workers -----------------------------------------------------------------------------------


def sign_expected_within() -> timedelta:
    """How long a live worker may be silent: it gives a sign every third of a lease."""
    return max(settings.EXECUTION_LEASE, _AT_LEAST_ALIVE)


def live_workers(queue: str = "") -> QuerySet[Worker]:
    """Workers that gave a sign lately and take work, of one queue or of any."""
    alive = Worker.objects.filter(
        seen_at__gt=ClockTimestamp() - sign_expected_within(), is_draining=False
    )
    return alive.filter(queues__contains=[queue]) if queue else alive


def served_queues() -> frozenset[str]:
    """Every queue that a live worker takes work of, and every place at which one polls."""
    return frozenset(
        queue for queues in live_workers().values_list("queues", flat=True) for queue in queues
    )


_known_alive: dict[str, float] = {}


def is_served(queue: str) -> bool:
    """Whether a live worker takes work of this queue; a yes is believed for five seconds."""
    now = time.monotonic()
    if now - _known_alive.get(queue, -_KNOWN_ALIVE_SECONDS) < _KNOWN_ALIVE_SECONDS:
        return True
    found = live_workers(queue).exists()
    if found:
        _known_alive[queue] = now
    return found


def forget_live_workers() -> None:
    """Believe no earlier answer of `is_served`."""
    _known_alive.clear()
