"""Where an execution stands: what there is to know of why it runs or not, read in a few queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Count, ExpressionWrapper, Q, QuerySet

from agents.clock import ClockTimestamp, clock
from agents.models import Activity
from agents.remote import served_as
from agents.runtime.kinds import label_of
from executions.models import Event, Execution, Status, Worker
from executions.queries import QueuePlace, live_workers, queue_place, sign_expected_within
from executions.review import shown

HOLDERS_SHOWN = 10
_TOLD_BY = (
    "execution.paused",
    "execution.pause_requested",
    "execution.cancelling",
    "execution.cancelled",
)
_TOLD_IN = (
    "execution.queued",
    "execution.started",
    "execution.resumed",
    "execution.cancelling",
    "execution.paused",
    "execution.waiting",
    "execution.recovered",
    "execution.failed",
)
# A status whose event has another name than itself.
_ENTERED_BY: Mapping[str, Sequence[str]] = {
    Status.RUNNING: ("started", "resumed"),
    Status.QUEUED: ("queued", "recovered"),
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit of what runs at once, how many hold a permit under it, and the first of those."""

    scope: str
    id: UUID
    name: str
    limit: int
    held: int
    holders: Sequence[Mapping[str, Any]]

    @property
    def is_full(self) -> bool:
        return self.held >= self.limit


@dataclass(frozen=True, slots=True)
class Fleet:
    """The live workers of the execution's queue, and the one that has it or had it last.

    `threads` and `at_work` are of those that are `able`: that have its kind in its version.
    """

    live: int = 0
    able: int = 0
    threads: int = 0
    at_work: int = 0
    last: Worker | None = None
    is_last_alive: bool = False


@dataclass(frozen=True, slots=True)
class Standing:
    """One execution at one moment of PostgreSQL's clock.

    `told` has its last event of each kind, `by` who asked for what, newest first, `review` how a
    decision on its work stands.
    """

    execution: Execution
    now: datetime
    place: QueuePlace | None = None
    limits: Sequence[Limit] = ()
    fleet: Fleet = field(default_factory=Fleet)
    told: Mapping[str, Event] = field(default_factory=dict)
    by: Sequence[Activity] = ()
    review: Mapping[str, Any] | None = None

    def since(self) -> datetime | None:
        """When it came to be as it is, as its events tell."""
        names = _ENTERED_BY.get(self.execution.status, (self.execution.status,))
        events = [self.told.get(f"execution.{name}") for name in names]
        return max((event.created_at for event in events if event), default=None)


def standing(execution: Execution) -> Standing:
    """How it stands; the queries are as many whatever there is."""
    execution = _whole(execution.pk)
    events = Event.objects.filter(execution=execution, type__in=_TOLD_IN)
    last = events.order_by("type", "-seq").distinct("type")
    asked = Activity.objects.filter(execution_id=execution.pk, type__in=_TOLD_BY)
    is_queued = execution.status == Status.QUEUED
    return Standing(
        execution,
        now=clock(),
        place=queue_place(execution),
        limits=_limits(execution) if is_queued and execution.admitted_epoch is None else (),
        fleet=_fleet(execution),
        told={event.type: event for event in last},
        by=list(asked.order_by("-id")[:10]),
        review=shown.review_of(execution),
    )


def _whole(key: UUID) -> Execution:
    rows: QuerySet[Execution] = Execution.objects.defer("spec", "diff", "output", "input")
    rows = rows.select_related("agent", "board", "organization")
    return rows.prefetch_related("conditions").get(pk=key)


def _limits(execution: Execution) -> list[Limit]:
    """Of everything that it belongs to and that has a limit; organization, board, agent."""
    organization, board, agent = execution.organization, execution.board, execution.agent
    scopes: list[tuple[str, Any, int | None]] = [
        ("organization", organization, organization.max_concurrent),
        ("board", board, board.max_concurrent if board else None),
        ("agent", agent, agent.max_concurrency if agent else None),
    ]
    admitted = Execution.objects.filter(organization=organization, admitted_epoch__isnull=False)
    held = admitted.aggregate(
        organization=Count("pk"),
        board=Count("pk", filter=Q(board=board)),
        agent=Count("pk", filter=Q(agent=agent)),
    )
    full = [name for name, row, limit in scopes if row and limit and held[name] >= limit]
    holders = _holders(admitted, execution, full[0]) if full else []
    return [
        Limit(name, row.pk, row.name, limit, held[name], holders if full[:1] == [name] else ())
        for name, row, limit in scopes
        if row is not None and limit is not None
    ]


def _holders(
    admitted: QuerySet[Execution], execution: Execution, scope: str
) -> list[dict[str, Any]]:
    beside = admitted.filter(**{scope: getattr(execution, f"{scope}_id")})
    rows = beside.order_by("admitted_at").values_list("pk", "agent_name", "status", "admitted_at")
    names = ("exec_id", "agent_name", "status", "since")
    return [dict(zip(names, row, strict=True)) for row in rows[:HOLDERS_SHOWN]]


def _fleet(execution: Execution) -> Fleet:
    named = (execution.organization_id, execution.kind, execution.worker_queue)
    alive = live_workers(served_as(*named)).values_list("concurrency", "running", "kinds")
    workers = list(alive)
    kind = label_of(execution.kind, execution.kind_version)
    # One that polls, and one of an older release, does not say what it has.
    able = [each for each in workers if not each[2] or kind in each[2]]
    is_alive = ExpressionWrapper(
        Q(seen_at__gt=ClockTimestamp() - sign_expected_within()), output_field=BooleanField()
    )
    had = Worker.objects.filter(name=execution.worker).annotate(is_alive=is_alive)
    last = had.order_by("-seen_at").first() if execution.worker else None
    return Fleet(
        live=len(workers),
        able=len(able),
        threads=sum(each[0] for each in able),
        at_work=sum(each[1] for each in able),
        last=last,
        is_last_alive=bool(last and last.is_alive),
    )
