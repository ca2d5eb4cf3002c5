"""Runs schedules: nudges whom they mean when they are due, each due time once.

Who runs a due schedule moves it on, puts the occurrence down and nudges the first of its agents in
one transaction. The rest follow a batch a transaction, from the agent at which the occurrence
stands. So any number may be at it, and die anywhere: nobody is nudged twice or left out.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import InterfaceError, OperationalError, transaction
from django.db.models import F, QuerySet

from agents import liveness
from agents.activity import SYSTEM, Actor, Target, record
from agents.clock import ClockTimestamp, clock
from agents.messages import notify_all
from agents.models import ActorKind, Agent
from boards.actions.nudges import letter
from boards.actions.schedules import change_schedule, locked_schedule, next_run
from boards.models import NudgeSchedule, Occurrence
from boards.recipients import recipients

logger = logging.getLogger(__name__)

# Agents that one transaction nudges, and schedules that one sweep begins.
BATCH = 500
BEGUN_AT_ONCE = 100
# After so long the other chores of the sweep have their turn.
ENOUGH_SECONDS = 5.0
KEPT = timedelta(days=30)
PRUNED_AT_ONCE = 1000


def nudge_due() -> int:
    """Begin the schedules that are due, and go on with what has begun; how many were begun.

    A chore of the sweep. What there is no time for is left to the next one, or to another process.
    """
    until = time.monotonic() + ENOUGH_SECONDS
    begun = 0
    for key in _keys(_due().order_by("next_run_at")):
        if time.monotonic() < until:
            begun += _kept_apart(key, _begin, _pass_over)
    for key in _keys(Occurrence.objects.filter(finished_at=None).order_by("id")):
        while time.monotonic() < until and _kept_apart(key, _go_on, _give_up):
            pass
    return begun


@transaction.atomic
def run_now(schedule: NudgeSchedule, *, by: Actor) -> Occurrence:
    """Run a schedule by hand, switched off or not; when it is due stays as it is.

    The first of its agents are nudged now, the others by the sweep. Raises ScheduleNotFound.
    """
    locked, now = locked_schedule(schedule), clock()
    occurrence = Occurrence.objects.create(schedule=locked, due_at=now, started_at=now)
    locked.last_run_at = now
    locked.save(update_fields=["last_run_at"])
    facts = {"schedule_id": str(locked.pk), "name": locked.name}
    about = Target(board_id=locked.board_id)
    record(locked.organization_id, "schedule.run", by=by, target=about, **facts)
    _nudge_batch(occurrence)
    return occurrence


def prune() -> int:
    """Remove what is past its time, a thousand rows a transaction; how many there were."""
    removed = 0
    while True:
        found = _prune_some()
        removed += found
        if found < PRUNED_AT_ONCE:
            return removed


@transaction.atomic
def _prune_some() -> int:
    old = Occurrence.objects.filter(started_at__lt=ClockTimestamp() - KEPT).order_by("started_at")
    locked = old.select_for_update(skip_locked=True).values_list("pk", flat=True)
    keys = list(locked[:PRUNED_AT_ONCE])
    Occurrence.objects.filter(pk__in=keys).delete()
    return len(keys)


def _keys(rows: QuerySet[NudgeSchedule] | QuerySet[Occurrence]) -> list[UUID]:
    return list(rows.values_list("pk", flat=True)[:BEGUN_AT_ONCE])


def _kept_apart(key: UUID, step: Callable[[UUID], bool | None], *instead: Any) -> bool:
    """What the step says. One that fails stops no other: another step takes it out of the way.

    What the database breaks off, as a deadlock or with its connection, is tried again.
    """
    name = step.__name__.strip("_")
    try:
        return bool(step(key))
    except (OperationalError, InterfaceError):
        logger.exception("%s was broken off for %s, and is tried again.", name, key)
    except Exception:
        logger.exception("%s failed for %s, and is not tried again.", name, key)
        if instead:
            _kept_apart(key, *instead)
    return False


def _due() -> QuerySet[NudgeSchedule]:
    return NudgeSchedule.objects.filter(is_enabled=True, next_run_at__lte=ClockTimestamp())


def _taken(key: UUID) -> NudgeSchedule | None:
    """The schedule, locked, if it is due still and nobody else's."""
    locked = _due().filter(pk=key).select_for_update(skip_locked=True, of=("self",), no_key=True)
    return locked.select_related("organization").first()


@transaction.atomic
def _begin(key: UUID) -> bool:
    """Whether it was due still, and nobody else's."""
    schedule = _taken(key)
    if schedule is None or schedule.next_run_at is None:
        return False
    due, now = schedule.next_run_at, clock()
    # A clock that was put back lets a time be due again: it has been run.
    occurrence, is_new = Occurrence.objects.get_or_create(
        schedule=schedule, due_at=due, defaults={"started_at": now}
    )
    schedule.last_run_at, schedule.next_run_at = now, next_run(schedule, due, now)
    schedule.save(update_fields=["last_run_at", "next_run_at"])
    if is_new:
        _nudge_batch(occurrence)
    return True


@transaction.atomic
def _pass_over(key: UUID) -> None:
    """Move a schedule that cannot run to its next time; one that has none is switched off."""
    schedule = _taken(key)
    if schedule is None or schedule.next_run_at is None:
        return
    later = _next_if_any(schedule, schedule.next_run_at, clock())
    if later is None:
        change_schedule(schedule, {"is_enabled": False}, by=SYSTEM)
        return
    schedule.next_run_at = later
    schedule.save(update_fields=["next_run_at"])


def _next_if_any(schedule: NudgeSchedule, due: datetime, now: datetime) -> datetime | None:
    try:
        return next_run(schedule, due, now)
    except Exception:
        # As where its time zone is known no more; a folder's name is an OSError.
        logger.warning("The schedule %s has no next time, and is switched off.", schedule.pk)
        return None


@transaction.atomic
def _go_on(key: UUID) -> bool:
    """Nudge the next of an occurrence; whether there may be more."""
    occurrence = _unfinished(key).select_related("schedule__organization").first()
    return occurrence is not None and _nudge_batch(occurrence)


@transaction.atomic
def _give_up(key: UUID) -> None:
    """End an occurrence that cannot go on; the next is another try."""
    occurrence = _unfinished(key).first()
    if occurrence is not None:
        occurrence.finished_at = clock()
        occurrence.save(update_fields=["finished_at"])


def _unfinished(key: UUID) -> QuerySet[Occurrence]:
    rows = Occurrence.objects.filter(pk=key, finished_at=None)
    return rows.select_for_update(skip_locked=True, of=("self",), no_key=True)


def _nudge_batch(occurrence: Occurrence) -> bool:
    """Nudge the next agents of an occurrence that is locked, or new; whether there may be more."""
    now = clock()
    moment = occurrence.moment(now)
    rows = recipients(occurrence.schedule, moment)
    if occurrence.after is not None:
        rows = rows.filter(pk__gt=occurrence.after)
    keys = list(rows.order_by("pk").values_list("pk", flat=True)[:BATCH])
    agents = _locked(rows.filter(pk__in=keys))
    _nudge(occurrence, agents, moment)
    has_more = len(keys) == BATCH
    occurrence.after = keys[-1] if keys else occurrence.after
    occurrence.nudged += len(agents)
    occurrence.finished_at = None if has_more else now
    occurrence.save(update_fields=["after", "nudged", "finished_at"])
    return has_more


def _locked(rows: QuerySet[Agent]) -> list[Agent]:
    """Those of the agents that are still to be nudged, locked in one order.

    Of two runs that mean one agent the second waits, and sees the nudge of the first: PostgreSQL
    looks at the columns of a row again that it has waited for.
    """
    locked = rows.select_for_update(of=("self",), no_key=True).order_by("pk")
    seated = locked.annotate(board_id=F("seat__board_id")).select_related("gateway")
    return list(seated.defer("soul"))


def _nudge(occurrence: Occurrence, agents: list[Agent], moment: datetime) -> None:
    if not agents:
        return
    schedule = occurrence.schedule
    by = Actor(ActorKind.SYSTEM, None, f"Schedule {schedule.name}"[:200])
    facts = {"schedule_id": str(schedule.pk), "occurrence_id": str(occurrence.pk)}
    liveness.note_nudged([agent.pk for agent in agents], moment)
    letters = [
        letter(agent, schedule.message, board_id=_board_of(agent), **facts) for agent in agents
    ]
    notify_all(schedule.organization, letters, by=by)


def _board_of(agent: Agent) -> UUID | None:
    board_id: UUID | None = getattr(agent, "board_id")  # noqa: B009  The annotation of `_locked`.
    return board_id
