"""Makes, changes and removes schedules of nudges; gives new boards theirs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction

from agents.activity import Actor, Target, record
from agents.clock import clock
from agents.errors import AgentNotFound, Refusal
from agents.live import hold
from agents.models import Agent, Organization
from boards import timing
from boards.errors import BoardNotFound
from boards.models import Board, NudgeCondition, NudgeSchedule
from boards.models.schedule import LONGEST_MESSAGE, LONGEST_MINUTES, TIMED

MOST_AGENTS = 500
_TIMING = frozenset({"is_enabled", "crontab", "interval_minutes", "time_zone"})
_TARGET = frozenset({"board", "agents"})
_TIME = _TIMING - {"is_enabled"}
_CONDITION = frozenset({"condition", "minutes"})
_BOUNDED = frozenset({"cool_down_minutes", "message"})
_EVERYTHING = _TARGET | _TIME | _CONDITION | _BOUNDED

# What a new board begins with; operators change it as ever.
DEFAULTS: tuple[Mapping[str, Any], ...] = (
    {
        "name": "Work is waiting",
        "condition": NudgeCondition.IDLE_WITH_INBOX,
        "interval_minutes": 30,
        "cool_down_minutes": 60,
        "message": "There is work for you: look at your inbox and at the tasks that are assigned "
        "to you.",
    },
    {
        "name": "Silent in progress",
        "condition": NudgeCondition.SILENT_IN_PROGRESS,
        "minutes": 60,
        "interval_minutes": 30,
        "cool_down_minutes": 60,
        "message": "You have a task in progress and have given no sign of life. Go on with it, or "
        "say on it what keeps you.",
    },
)


class ScheduleNotFound(Refusal):
    """There is no such schedule in this organization."""

    code = "SCHEDULE_NOT_FOUND"
    status_code = 404


@transaction.atomic
def create_schedule(
    organization: Organization, fields: Mapping[str, Any], *, by: Actor
) -> NudgeSchedule:
    """A schedule of nudges; `agents` are ids.

    Raises BoardNotFound and AgentNotFound for those of another organization or deleted, and a
    ValidationError that names every field that is wrong.
    """
    _hold(fields.get("board"))
    schedule = _new(organization, fields)
    _tell("schedule.created", schedule, by)
    return schedule


@transaction.atomic
def change_schedule(
    schedule: NudgeSchedule, changes: Mapping[str, Any], *, by: Actor
) -> NudgeSchedule:
    """Change a schedule, or switch it on or off; switched off, also anew, it ends its runs.

    Another time, or being switched on, begins a new grid of times now. What stays as it is is not
    looked at, so that one whose agents or time zone are gone can be switched off; being switched
    on, all of it is. Raises ScheduleNotFound, and as `create_schedule` does.
    """
    _hold(changes.get("board"))
    locked = locked_schedule(schedule)
    wanted = {**changes}
    before = agents = set(locked.agents.only("pk"))
    if "agents" in wanted:
        agents = _held_agents(locked.organization, wanted.pop("agents"))
    changed = {name: value for name, value in wanted.items() if getattr(locked, name) != value}
    for name, value in changed.items():
        setattr(locked, name, value)
    if before != agents:
        changed["agents"] = agents
    _check(locked, agents, _EVERYTHING if changed.get("is_enabled") else changed.keys())
    if changed.keys() & _TIMING:
        locked.next_run_at = _first_run(locked)
    if "agents" in changed:
        locked.agents.set(agents)
    if changed:
        written = changed.keys() - {"agents"}
        locked.save(update_fields=[*written, "next_run_at", "updated_at"])
    # One that is off may run too, by hand.
    ended = _end_runs(locked) if wanted.get("is_enabled") is False else 0
    if changed or ended:
        _tell("schedule.updated", locked, by, changed=sorted(changed), ended_runs=ended)
    return locked


@transaction.atomic
def delete_schedule(schedule: NudgeSchedule, *, by: Actor) -> None:
    """Remove a schedule with its occurrences; who was nudged stays in the record.

    Raises ScheduleNotFound.
    """
    locked = locked_schedule(schedule)
    _tell("schedule.deleted", locked, by)
    locked.delete()


def add_defaults(board: Board) -> None:
    """Give a new board the schedules that every board begins with; its own line tells of them."""
    for fields in DEFAULTS:
        _new(board.organization, {**fields, "board": board})


def locked_schedule(schedule: NudgeSchedule) -> NudgeSchedule:
    """The schedule's row, locked until the transaction ends. Raises ScheduleNotFound."""
    rows = NudgeSchedule.objects.select_for_update(no_key=True, of=("self",))
    locked = rows.select_related("organization", "board").filter(pk=schedule.pk).first()
    if locked is None:
        raise ScheduleNotFound
    return locked


def lock_all_of(board: Board) -> None:
    """Wait for the runs of a board's schedules, and let none begin until the transaction ends.

    Boards are locked before schedules, and these before agents.
    """
    rows = board.schedules.select_for_update(no_key=True).order_by("pk")
    list(rows.values_list("pk", flat=True))


def next_run(schedule: NudgeSchedule, due: datetime, now: datetime) -> datetime:
    """The first time after now: of the crontab, or of the grid that the due time lies on."""
    if schedule.crontab:
        return timing.first_after(now, crontab=schedule.crontab, zone=schedule.time_zone)
    every = timedelta(minutes=schedule.interval_minutes or 1)
    return timing.next_of_grid(due, now, every=every)


def _new(organization: Organization, fields: Mapping[str, Any]) -> NudgeSchedule:
    values = {**fields}
    agents = _held_agents(organization, values.pop("agents", ()))
    schedule = NudgeSchedule(organization=organization, **values)
    _check(schedule, agents, _EVERYTHING)
    schedule.next_run_at = _first_run(schedule)
    schedule.save(force_insert=True)
    schedule.agents.add(*agents)
    return schedule


def _end_runs(schedule: NudgeSchedule) -> int:
    return schedule.occurrences.filter(finished_at=None).update(finished_at=clock())


def _first_run(schedule: NudgeSchedule) -> datetime | None:
    if not schedule.is_enabled:
        return None
    now = clock()
    return next_run(schedule, now, now)


def _hold(board: Board | None) -> None:
    """Keep a board from being deleted before the schedule is seen that names it."""
    try:
        if board is not None:
            hold(board)
    except Board.DoesNotExist as error:
        raise BoardNotFound from error


def _held_agents(organization: Organization, ids: Iterable[UUID]) -> set[Agent]:
    """Agents of these ids, that nobody deletes until the transaction ends."""
    wanted = set(ids)
    if not wanted:
        return set()
    rows = Agent.objects.filter(organization=organization, pk__in=wanted).order_by("pk")
    found = set(rows.select_for_update(no_key=True).only("pk"))
    unknown = wanted - {agent.pk for agent in found}
    if unknown:
        raise AgentNotFound(unknown_agent_ids=sorted(unknown))
    return found


def _check(schedule: NudgeSchedule, agents: Collection[Agent], touched: AbstractSet[str]) -> None:
    """Hold a schedule to the rules that are about fields that are touched."""
    board = schedule.board
    if board is not None and board.organization_id != schedule.organization_id:
        raise BoardNotFound
    problems: dict[str, Any] = {}
    if touched & _TARGET:
        problems |= _of_target(schedule, agents)
    if touched & _TIME:
        problems |= _of_time(schedule)
    if touched & _CONDITION:
        problems |= _of_condition(schedule)
    if touched & _BOUNDED:
        problems |= _of_bounds(schedule)
    if problems:
        raise ValidationError(problems)


def _of_target(schedule: NudgeSchedule, agents: Collection[Agent]) -> dict[str, Any]:
    problems: dict[str, Any] = {}
    if (schedule.board is None) == (not agents):
        problems["agents"] = "Name a board or agents: one of the two."
    if len(agents) > MOST_AGENTS:
        problems["agents"] = f"Name {MOST_AGENTS} agents at most, or a board."
    return problems


def _of_time(schedule: NudgeSchedule) -> dict[str, Any]:
    problems: dict[str, Any] = {}
    if bool(schedule.crontab) == (schedule.interval_minutes is not None):
        problems["interval_minutes"] = "Give a crontab or an interval: one of the two."
    elif schedule.interval_minutes is not None:
        problems |= _of_minutes("interval_minutes", schedule.interval_minutes)
    problems |= _asked("crontab", timing.check_crontab, schedule.crontab)
    return problems | _asked("time_zone", timing.check_zone, schedule.time_zone)


def _of_condition(schedule: NudgeSchedule) -> dict[str, Any]:
    if schedule.condition in TIMED and schedule.minutes is None:
        return {"minutes": "Say for how many minutes."}
    if schedule.condition not in TIMED and schedule.minutes is not None:
        return {"minutes": "This condition has no minutes."}
    return {} if schedule.minutes is None else _of_minutes("minutes", schedule.minutes)


def _of_bounds(schedule: NudgeSchedule) -> dict[str, Any]:
    problems = _of_minutes("cool_down_minutes", schedule.cool_down_minutes, lowest=0)
    if len(schedule.message) > LONGEST_MESSAGE:
        problems["message"] = f"Say it in {LONGEST_MESSAGE} characters at most."
    return problems


def _of_minutes(field: str, value: int, *, lowest: int = 1) -> dict[str, Any]:
    fits = lowest <= value <= LONGEST_MINUTES
    return {} if fits else {field: f"Between {lowest} and {LONGEST_MINUTES} minutes (a year)."}


def _asked(field: str, check: Any, value: str) -> dict[str, Any]:
    try:
        check(value)
    except ValidationError as error:
        return {field: error}
    return {}


def _tell(event: str, schedule: NudgeSchedule, by: Actor, **facts: Any) -> None:
    about = Target(board_id=schedule.board_id)
    facts = {"schedule_id": str(schedule.pk), "name": schedule.name, **facts}
    record(schedule.organization_id, event, by=by, target=about, **facts)
