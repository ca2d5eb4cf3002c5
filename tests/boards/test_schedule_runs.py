"""Schedules run: each due time once, whoever runs them, without drift, and no agent too often."""

from __future__ import annotations

import threading
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction

from agents.actions import pause_agent
from agents.activity import SYSTEM
from agents.clock import clock
from agents.models import Activity, Agent, Message, MessageState
from boards.actions import occurrences, pause_board
from boards.actions.schedules import change_schedule
from boards.models import Board, NudgeSchedule, Occurrence
from boards.models.schedule import LONGEST_MESSAGE, LONGEST_MINUTES
from tests.boards.gateways import reached_at
from tests.boards.nudging import (
    HOUR,
    make_due,
    make_schedule,
    nudges_of,
    pass_time,
    run,
    without_defaults,
)
from tests.factories import (
    all_at_once,
    counted_queries,
    make_agent,
    make_board,
    make_organization,
    make_seat,
    somebody_waits_for_a_lock,
    wait_until,
)
from tests.receiver import receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def board() -> Board:
    return without_defaults(make_board(make_organization()))


@pytest.fixture
def agent(board: Board) -> Agent:
    return make_seat(board, kind="external")


def test_who_is_nudged_is_told_and_the_record_tells_of_it(board: Board, agent: Agent) -> None:
    schedule = make_schedule(board, name="Wake up")
    occurrence = run(schedule)

    assert (occurrence.nudged, occurrence.finished_at is not None) == (1, True)
    message = Message.objects.get()
    assert (message.kind, message.state, message.content) == ("nudge", "delivered", "Go on.")
    assert (message.sender_name, message.board_id) == ("Schedule Wake up", board.pk)
    assert message.correlation_id == f"nudge:{board.pk}:{agent.pk}"
    assert message.data["occurrence_id"] == str(occurrence.pk)
    line = Activity.objects.get(type="agent.nudge.sent")
    assert (line.agent_id, line.board_id) == (agent.pk, board.pk)
    assert line.data["message_id"] == str(message.pk)


def test_for_a_week_each_due_time_comes_once_and_nothing_drifts(board: Board, agent: Agent) -> None:
    schedule = make_schedule(board, cool_down_minutes=30)
    behind = timedelta()
    for number in range(7 * 24):
        # Who looks is late by another few seconds each time.
        late = timedelta(seconds=1 + number * 7 % 50)
        pass_time(HOUR + late - behind)
        behind = late
        assert occurrences.nudge_due() == 1
        assert occurrences.nudge_due() == 0

    dues = list(schedule.occurrences.order_by("due_at").values_list("due_at", flat=True))
    assert len(dues) == 7 * 24
    assert {later - due for due, later in pairwise(dues)} == {HOUR}
    assert nudges_of(agent) == [7 * 24]


def test_missed_runs_are_not_made_up(board: Board, agent: Agent) -> None:
    schedule = make_schedule(board)
    occurrence = run(schedule, late=timedelta(hours=5, minutes=17))

    schedule.refresh_from_db()
    assert schedule.next_run_at == occurrence.due_at + 6 * HOUR
    assert occurrences.nudge_due() == 0
    assert nudges_of(agent) == [1]


def test_a_crontab_runs_at_its_own_times(board: Board, agent: Agent) -> None:
    schedule = make_schedule(board, crontab="30 2 * * *", time_zone="Europe/Berlin")
    first = schedule.next_run_at
    run(schedule, late=timedelta(hours=3))

    schedule.refresh_from_db()
    assert schedule.next_run_at == first
    assert nudges_of(agent) == [1]


def test_agents_are_named_too_with_a_seat_or_without(board: Board, agent: Agent) -> None:
    main, other = make_agent(board.organization), make_seat(board)
    schedule = make_schedule(board.organization, agents=[agent.pk, main.pk])
    run(schedule)

    assert nudges_of(agent, main, other) == [1, 1, 0]
    told = Message.objects.get(recipient=main)
    assert (told.board_id, told.correlation_id) == (None, f"nudge:{main.pk}")


def test_who_is_paused_or_on_a_paused_board_is_not_nudged(board: Board, agent: Agent) -> None:
    paused = make_seat(board)
    pause_agent(paused, by=SYSTEM)
    schedule = make_schedule(board, cool_down_minutes=0)
    run(schedule)
    assert nudges_of(agent, paused) == [1, 0]
    pause_board(board, by=SYSTEM)
    assert run(schedule).nudged == 0


def test_whose_gateway_is_off_is_told_later_by_hand(board: Board, agent: Agent) -> None:
    with receiver() as far:
        gateway = reached_at(far, agent)
        type(gateway).objects.update(is_enabled=False)
        assert run(make_schedule(board)).nudged == 1

    message = Message.objects.get()
    assert (message.state, message.attempts) == (MessageState.FAILED, 1)
    assert Activity.objects.filter(type="agent.nudge.failed", agent_id=agent.pk).count() == 1


def test_who_has_a_webhook_is_posted_to_by_the_outbox(board: Board, agent: Agent) -> None:
    inbox = make_seat(board)
    with receiver() as far:
        reached_at(far, agent)
        run(make_schedule(board))

    states = dict(Message.objects.values_list("recipient_id", "state"))
    assert states == {agent.pk: MessageState.PENDING, inbox.pk: MessageState.DELIVERED}


def test_within_its_cool_down_nobody_is_nudged_by_any_schedule(board: Board, agent: Agent) -> None:
    one, two = (make_schedule(board, cool_down_minutes=90) for _ in range(2))
    for schedule in (one, two, one):
        run(schedule)
    assert nudges_of(agent) == [1]
    pass_time(timedelta(minutes=89))
    run(two)
    assert nudges_of(agent) == [1]
    pass_time(timedelta(minutes=1))
    run(two)
    assert nudges_of(agent) == [2]


def test_a_cool_down_as_long_as_the_interval_lets_every_run_nudge(
    board: Board, agent: Agent
) -> None:
    """A run begins a moment after it is due, the next one perhaps after a shorter moment."""
    make_schedule(board, cool_down_minutes=60)
    pass_time(HOUR + timedelta(seconds=40))
    occurrences.nudge_due()
    pass_time(HOUR - timedelta(seconds=39))
    occurrences.nudge_due()
    assert nudges_of(agent) == [2]


def test_after_a_late_run_the_cool_down_counts_from_when_it_ran(board: Board, agent: Agent) -> None:
    schedule = make_schedule(board, cool_down_minutes=60)
    run(schedule, late=timedelta(minutes=59))
    pass_time(timedelta(minutes=2))
    assert occurrences.nudge_due() == 1
    assert nudges_of(agent) == [1]


def test_who_is_nudged_late_in_a_run_is_not_nudged_by_the_next_one_at_once(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its workers were away after the first batch, until the next run was due."""
    monkeypatch.setattr(occurrences, "BATCH", 2)
    agents = [make_seat(board, kind="external") for _ in range(6)]
    schedule = make_schedule(board, cool_down_minutes=60)
    make_due(schedule)
    assert occurrences._begin(schedule.pk)
    pass_time(timedelta(minutes=90))
    occurrences.nudge_due()
    assert sorted(nudges_of(*agents)) == [1, 1, 1, 1, 2, 2]


def test_many_agents_are_nudged_batch_by_batch(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(occurrences, "BATCH", 2)
    agents = [make_seat(board) for _ in range(5)]
    schedule = make_schedule(board)
    make_due(schedule)
    assert occurrences._begin(schedule.pk)

    occurrence = schedule.occurrences.get()
    assert (occurrence.nudged, occurrence.finished_at) == (2, None)
    schedule.refresh_from_db()
    assert schedule.next_run_at is not None
    assert schedule.next_run_at > clock()
    occurrences.nudge_due()
    occurrence.refresh_from_db()
    assert (occurrence.nudged, occurrence.finished_at is not None) == (5, True)
    assert nudges_of(*agents) == [1] * 5


def test_as_many_queries_for_many_agents_as_for_one(board: Board) -> None:
    schedule, costs = make_schedule(board, cool_down_minutes=0), []
    for _ in range(2):
        for _ in range(20):
            make_seat(board, kind="external")
        make_due(schedule)
        with counted_queries() as queries:
            occurrences.nudge_due()
        costs.append(len(queries))
    assert costs[0] == costs[1] <= 25


def test_switched_off_it_stops_in_the_middle_and_on_it_begins_anew(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(occurrences, "BATCH", 2)
    agents = [make_seat(board) for _ in range(4)]
    schedule = make_schedule(board)
    make_due(schedule, late=timedelta(minutes=17))
    occurrences._begin(schedule.pk)
    off = change_schedule(schedule, {"is_enabled": False}, by=SYSTEM)
    assert off.next_run_at is None
    assert occurrences.nudge_due() == 0
    assert sum(nudges_of(*agents)) == 2
    on = change_schedule(schedule, {"is_enabled": True}, by=SYSTEM)
    assert on.next_run_at is not None
    assert timedelta(minutes=59) < on.next_run_at - clock() <= HOUR


def test_a_run_by_hand_of_one_that_is_off_is_ended_too(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(occurrences, "BATCH", 2)
    agents = [make_seat(board) for _ in range(4)]
    schedule = make_schedule(board, is_enabled=False)
    occurrences.run_now(schedule, by=SYSTEM)
    change_schedule(schedule, {"name": "Still off"}, by=SYSTEM)
    assert schedule.occurrences.filter(finished_at=None).exists()
    change_schedule(schedule, {"is_enabled": False}, by=SYSTEM)
    occurrences.nudge_due()
    assert sum(nudges_of(*agents)) == 2
    line = Activity.objects.filter(type="schedule.updated").latest("id")
    assert (line.data["changed"], line.data["ended_runs"]) == ([], 1)
    change_schedule(schedule, {"is_enabled": False}, by=SYSTEM)
    assert Activity.objects.filter(type="schedule.updated").count() == 2


def test_one_that_cannot_run_stops_no_other(board: Board, agent: Agent) -> None:
    broken, sound = make_schedule(board), make_schedule(board)
    NudgeSchedule.objects.filter(pk=broken.pk).update(
        crontab="0 0 30 2 *", interval_minutes=None, next_run_at=clock() - HOUR
    )
    run(sound)
    assert nudges_of(agent) == [1]
    assert not broken.occurrences.exists()


def test_a_due_time_is_run_once_also_where_a_clock_was_put_back(board: Board, agent: Agent) -> None:
    schedule = make_schedule(board, cool_down_minutes=0)
    due = run(schedule).due_at
    late = make_seat(board)
    NudgeSchedule.objects.filter(pk=schedule.pk).update(next_run_at=due)
    occurrences.nudge_due()

    schedule.refresh_from_db()
    assert schedule.next_run_at == due + HOUR
    assert nudges_of(agent, late) == [1, 0]
    with pytest.raises(IntegrityError), transaction.atomic():
        Occurrence.objects.create(schedule=schedule, due_at=due, started_at=due)


def test_old_occurrences_are_pruned(board: Board) -> None:
    schedule = make_schedule(board)
    old, young = run(schedule), run(schedule)
    pass_time(timedelta(days=29))
    Occurrence.objects.filter(pk=old.pk).update(started_at=old.started_at - timedelta(days=31))
    assert occurrences.prune() == 1
    assert list(schedule.occurrences.values_list("pk", flat=True)) == [young.pk]


def test_what_cannot_be_is_refused_by_the_database(board: Board) -> None:
    schedule = make_schedule(board)
    rows = NudgeSchedule.objects.filter(pk=schedule.pk)
    impossible: list[dict[str, Any]] = [
        {"crontab": "* * * * *"},
        {"interval_minutes": None},
        {"interval_minutes": 0},
        {"minutes": 5},
        {"condition": "silent_in_progress"},
        {"condition": "never"},
        {"cool_down_minutes": LONGEST_MINUTES + 1},
        {"message": "x" * (LONGEST_MESSAGE + 1)},
        {"next_run_at": None},
        {"is_enabled": False},
    ]
    for fields in impossible:
        with pytest.raises(IntegrityError), transaction.atomic():
            rows.update(**fields)


@pytest.mark.django_db(transaction=True)
def test_of_five_who_look_at_once_one_runs_each(board: Board, agent: Agent) -> None:
    schedules = [make_schedule(board, cool_down_minutes=0) for _ in range(6)]
    for number in range(1, 6):
        for schedule in schedules:
            make_due(schedule)
        answers = all_at_once(*[occurrences.nudge_due] * 5)
        assert sum(answers) == len(schedules), answers
        assert [each.occurrences.count() for each in schedules] == [number] * len(schedules)
        assert nudges_of(agent) == [number * len(schedules)]


@pytest.mark.django_db(transaction=True)
def test_of_five_who_go_on_at_once_nobody_nudges_twice(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(occurrences, "BATCH", 3)
    agents = [make_seat(board, kind="external") for _ in range(20)]
    schedule = make_schedule(board, cool_down_minutes=0)
    for number in range(1, 6):
        make_due(schedule)
        all_at_once(*[occurrences.nudge_due] * 5)
        occurrences.nudge_due()
        assert nudges_of(*agents) == [number] * len(agents)


@pytest.mark.django_db(transaction=True)
def test_of_two_schedules_that_mean_one_agent_the_second_sees_the_first(
    board: Board, agent: Agent
) -> None:
    one, two = (make_schedule(board) for _ in range(2))
    make_due(one)

    def run_the_other() -> None:
        make_due(two)
        occurrences.nudge_due()
        connection.close()

    other = threading.Thread(target=run_the_other)
    with transaction.atomic():
        occurrences.nudge_due()
        other.start()
        wait_until(somebody_waits_for_a_lock)
    other.join()

    assert nudges_of(agent) == [1]
    assert [each.occurrences.get().nudged for each in (one, two)] == [1, 0]


@pytest.mark.django_db(transaction=True)
def test_a_crowd_of_schedules_nudges_each_agent_once(board: Board) -> None:
    agents = [make_seat(board, kind="external") for _ in range(10)]
    schedules = [make_schedule(board) for _ in range(5)]
    for schedule in schedules:
        make_due(schedule)
    all_at_once(*(partial(occurrences._begin, schedule.pk) for schedule in schedules))
    assert nudges_of(*agents) == [1] * len(agents)
