"""Schedules in tests: made, due, run, and time that passes for them."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F

from agents.activity import SYSTEM
from agents.clock import ClockTimestamp
from agents.models import Agent, Message, MessageKind, Organization
from boards.actions import occurrences
from boards.actions.schedules import create_schedule
from boards.models import Board, NudgeSchedule, Occurrence, Seat

HOUR = timedelta(hours=1)


def make_schedule(where: Board | Organization, **fields: Any) -> NudgeSchedule:
    """A schedule that nudges all the agents of the board, each hour."""
    given = {"name": "Hourly", "condition": "always", "message": "Go on.", **fields}
    given = given if "crontab" in given else {"interval_minutes": 60, **given}
    if isinstance(where, Board):
        return create_schedule(where.organization, {"board": where, **given}, by=SYSTEM)
    return create_schedule(where, given, by=SYSTEM)


def without_defaults(board: Board) -> Board:
    """The board without the schedules that a board begins with."""
    board.schedules.all().delete()
    return board


def make_due(schedule: NudgeSchedule, *, late: timedelta = timedelta()) -> None:
    NudgeSchedule.objects.filter(pk=schedule.pk).update(next_run_at=ClockTimestamp() - late)


def run(schedule: NudgeSchedule, *, late: timedelta = timedelta()) -> Occurrence:
    """Have it be due, and run what is."""
    make_due(schedule, late=late)
    occurrences.nudge_due()
    return schedule.occurrences.latest("id")


@transaction.atomic
def pass_time(time: timedelta) -> None:
    """Let so much time pass for schedules, their runs and who was nudged."""
    NudgeSchedule.objects.update(next_run_at=F("next_run_at") - time)
    # The oldest first: each comes to where the one before it was.
    for each in Occurrence.objects.order_by("due_at"):
        each.due_at, each.started_at = each.due_at - time, each.started_at - time
        each.save(update_fields=["due_at", "started_at"])
    Agent.objects.update(
        last_nudged_at=F("last_nudged_at") - time, last_seen_at=F("last_seen_at") - time
    )


def crowd_on(board: Board, count: int, *, kind: str = "external") -> list[Agent]:
    """So many agents seated on the board; they run themselves unless a kind is given."""
    agents = Agent.objects.bulk_create(
        Agent(organization=board.organization, name=f"A {each}", slug=f"a-{each}", kind=kind)
        for each in range(count)
    )
    Seat.objects.bulk_create(Seat(board=board, agent=agent) for agent in agents)
    return agents


def nudges_of(*agents: Agent) -> list[int]:
    """How many nudges each was told."""
    rows = Message.objects.filter(kind=MessageKind.NUDGE)
    found: Counter[UUID | None] = Counter(rows.values_list("recipient_id", flat=True))
    return [found[agent.pk] for agent in agents]
