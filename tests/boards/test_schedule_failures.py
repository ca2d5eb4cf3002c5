"""Schedules that cannot run, and runs that cannot go on, make way for the others."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction

from agents.clock import clock
from agents.models import Activity, Agent
from boards.actions import occurrences
from boards.models import Board, NudgeSchedule
from tests.boards.nudging import HOUR, make_due, make_schedule, nudges_of, without_defaults
from tests.factories import make_board, make_organization, make_seat

pytestmark = pytest.mark.django_db


@pytest.fixture
def board() -> Board:
    return without_defaults(make_board(make_organization()))


@pytest.fixture
def agent(board: Board) -> Agent:
    return make_seat(board, kind="external")


@pytest.fixture
def unbounded(board: Board) -> None:
    """As if the database let a schedule have any cool-down."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "ALTER TABLE boards_nudgeschedule DROP CONSTRAINT schedule_cool_down_a_year_at_most"
        )


def spoil(*schedules: NudgeSchedule) -> None:
    """Have their runs fail: so long before now there was no time."""
    rows = NudgeSchedule.objects.filter(pk__in=[each.pk for each in schedules])
    rows.update(cool_down_minutes=2_000_000_000)


@pytest.mark.usefixtures("unbounded")
def test_those_that_fail_do_not_keep_the_others_waiting(
    board: Board, agent: Agent, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(occurrences, "BEGUN_AT_ONCE", 2)
    failing = [make_schedule(board) for _ in range(2)]
    spoil(*failing)
    for schedule in failing:
        make_due(schedule, late=timedelta(minutes=5))
    make_due(make_schedule(board))

    assert [occurrences.nudge_due() for _ in range(3)] == [0, 1, 0]
    assert nudges_of(agent) == [1]
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2
    for schedule in failing:
        schedule.refresh_from_db()
        assert schedule.is_enabled
        assert schedule.next_run_at is not None
        assert timedelta(minutes=54) < schedule.next_run_at - clock() < HOUR
        assert not schedule.occurrences.exists()


def test_one_without_a_next_time_is_switched_off(
    board: Board, caplog: pytest.LogCaptureFixture
) -> None:
    never = make_schedule(board, crontab="0 9 * * *")
    nowhere = make_schedule(board, crontab="0 9 * * *")
    NudgeSchedule.objects.filter(pk=never.pk).update(crontab="0 0 30 2 *")
    NudgeSchedule.objects.filter(pk=nowhere.pk).update(time_zone="Europe/Nowhere")
    for schedule in (never, nowhere):
        make_due(schedule)

    assert [occurrences.nudge_due() for _ in range(2)] == [0, 0]
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"] * 2
    for schedule in (never, nowhere):
        schedule.refresh_from_db()
        assert (schedule.is_enabled, schedule.next_run_at) == (False, None)
    lines = Activity.objects.filter(type="schedule.updated", actor_kind="system")
    assert [line.data["changed"] for line in lines] == [["is_enabled"]] * 2


@pytest.mark.usefixtures("unbounded")
def test_a_run_that_cannot_go_on_is_ended(
    board: Board, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(occurrences, "BATCH", 2)
    monkeypatch.setattr(occurrences, "BEGUN_AT_ONCE", 1)
    agents = [make_seat(board, kind="external") for _ in range(6)]
    failing, sound = make_schedule(board), make_schedule(board, cool_down_minutes=0)
    for schedule in (failing, sound):
        make_due(schedule)
        assert occurrences._begin(schedule.pk)
    spoil(failing)

    for _ in range(3):
        occurrences.nudge_due()
    assert failing.occurrences.get().finished_at is not None
    assert (failing.occurrences.get().nudged, sound.occurrences.get().nudged) == (2, 6)
    assert sum(nudges_of(*agents)) == 8
    assert len(caplog.records) == 1


@pytest.mark.django_db(transaction=True)
def test_what_the_database_breaks_off_is_tried_again(board: Board, agent: Agent) -> None:
    schedule = make_schedule(board)
    make_due(schedule)
    is_held, is_over = threading.Event(), threading.Event()

    def hold_the_agent() -> None:
        with transaction.atomic():
            Agent.objects.select_for_update().get(pk=agent.pk)
            is_held.set()
            is_over.wait(10)
        connection.close()

    other = threading.Thread(target=hold_the_agent)
    other.start()
    assert is_held.wait(10)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL lock_timeout = '100ms'")
        assert occurrences.nudge_due() == 0
    is_over.set()
    other.join()
    assert occurrences.nudge_due() == 1
    assert nudges_of(agent) == [1]
