"""Reads with more than one line: places in the queue, estimated waits, and who is alive."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import (
    Case,
    CharField,
    Count,
    F,
    OuterRef,
    Prefetch,
    Q,
    QuerySet,
    Subquery,
    Value,
    When,
)
from django.db.models.functions import Coalesce, JSONObject, Least

from agents import prepared
from agents.clock import ClockTimestamp
from boards.models import Task
from executions.models import Condition, Execution, Status, Worker

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


def with_last_execution(tasks: QuerySet[Task]) -> QuerySet[Task]:
    """The tasks, with `last_execution`: the newest of each, as its card shows it."""
    told = JSONObject(exec_id="id", status="status", failure_code="failure_code")
    last = Execution.objects.filter(task=OuterRef("pk")).order_by("-id").values(told=told)[:1]
    return tasks.annotate(last_execution=Subquery(last))


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
    agent or board is paused; `blocked_by` is the scope that was full when it was last looked at
    (or is, where it was not yet), `agent_paused`, `board_paused`, or empty.
    """

    position: int
    estimated_wait_seconds: int | None
    blocked_by: str


def queue_place(execution: Execution) -> QueuePlace | None:
    """Its place in the queue, or None for one that is not queued or has its permit already."""
    if execution.status != Status.QUEUED or execution.admitted_epoch is not None:
        return None
    rows = Execution.objects.filter(pk=execution.pk)
    row = rows.values_list(obstacle(), slots()).first()
    if row is None:
        return None
    usual = usual_seconds(execution.organization_id, execution.board_id)
    return place_at(before(execution).count() + 1, row[0], usual=usual, at_once=row[1])


def place_at(position: int, obstacle: str, *, usual: float, at_once: int) -> QueuePlace:
    """The place of this number, where so many run `at_once` and last `usual` seconds each."""
    paused = obstacle.endswith("_paused")
    return QueuePlace(position, None if paused else round(position * usual / at_once), obstacle)


def obstacle() -> Case:
    """What stands in the way of a queued execution, for an annotation of its row."""
    # A walk through the queue looks past what is full, and so does not note it on every row.
    full = [
        When(**{f"{scope}__{limit}__lte": _holders(scope)}, then=Value(scope))
        for scope, limit in _LIMITS
    ]
    return Case(
        When(agent__is_paused=True, then=Value("agent_paused")),
        When(board__is_paused=True, then=Value("board_paused")),
        When(~Q(blocked_by=""), then=F("blocked_by")),
        *full,
        default=Value(""),
        output_field=CharField(),
    )


_LIMITS = (
    ("organization", "max_concurrent"),
    ("board", "max_concurrent"),
    ("agent", "max_concurrency"),
)


def _holders(scope: str) -> Coalesce:
    """How many hold a permit in the row's own organization, board or agent."""
    admitted = Execution.objects.filter(
        admitted_epoch__isnull=False, organization=OuterRef("organization")
    )
    beside = admitted.filter(**{scope: OuterRef(scope)}).order_by().values(scope)
    return Coalesce(Subquery(beside.annotate(held=Count("pk")).values("held")), Value(0))


def slots() -> Coalesce:
    """How many of its kind run at once, for an annotation of its row."""
    # LEAST passes over nulls: the tightest of the limits that there are.
    return Coalesce(Least("organization__max_concurrent", "board__max_concurrent"), Value(1))


def queued_in(organization_id: UUID, board_id: UUID | None) -> QuerySet[Execution]:
    """What waits for a permit, on the board or without one in the organization; in no order."""
    queued = Execution.objects.filter(
        organization_id=organization_id, status=Status.QUEUED, admitted_epoch=None
    )
    return queued if board_id is None else queued.filter(board_id=board_id)


def before(execution: Execution) -> QuerySet[Execution]:
    """What waits for a permit before this one, of what shares its board."""
    queued = queued_in(execution.organization_id, execution.board_id)
    earlier = Q(rank__lt=execution.rank) | Q(rank=execution.rank, id__lt=execution.id)
    return queued.filter(earlier)


def usual_seconds(organization_id: UUID, board_id: UUID | None) -> float:
    """The median of the last runs that completed on the board, or without one anywhere."""
    beside = Execution.objects.filter(organization_id=organization_id, status=Status.COMPLETED)
    if board_id is not None:
        beside = beside.filter(board_id=board_id)
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
