"""Schedules, while what they mean or what they have done is deleted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction

from agents.actions import delete_agent
from agents.activity import SYSTEM
from agents.errors import AgentNotFound
from agents.models import Agent, Organization
from boards.actions import delete_board, occurrences
from boards.actions.schedules import change_schedule
from boards.errors import BoardNotFound
from boards.models import Board, NudgeSchedule, Occurrence
from tests.boards.nudging import make_due, make_schedule, pass_time, run, without_defaults
from tests.factories import (
    make_agent,
    make_board,
    make_organization,
    make_seat,
    somebody_waits_for_a_lock,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)


class Beside(threading.Thread):
    """Calls something in a thread of its own; `answer` is what it said, or the exception."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__()
        self.call, self.answer = call, None

    def run(self) -> None:
        try:
            self.answer = self.call()
        except Exception as error:
            self.answer = error
        finally:
            connection.close()


def begin_and_wait(other: Beside) -> None:
    """Have it begin, and come to what this transaction holds."""
    other.start()
    wait_until(somebody_waits_for_a_lock)


@pytest.fixture
def board() -> Board:
    return without_defaults(make_board(make_organization()))


def test_what_is_held_is_pruned_later_and_holds_up_nothing(board: Board) -> None:
    schedule = make_schedule(board)
    held, free = run(schedule), run(schedule)
    pass_time(timedelta(days=31))
    with transaction.atomic():
        Occurrence.objects.select_for_update().get(pk=held.pk)
        other = Beside(occurrences.prune)
        other.start()
        other.join(5)
        assert not other.is_alive()
        assert other.answer == 1
    other.join()
    assert not Occurrence.objects.filter(pk=free.pk).exists()
    assert occurrences.prune() == 1


def test_a_board_is_deleted_after_the_run_that_goes_on(board: Board) -> None:
    make_seat(board, kind="external")
    make_due(make_schedule(board))
    other = Beside(partial(delete_board, board, by=SYSTEM))
    with transaction.atomic():
        assert occurrences.nudge_due() == 1
        begin_and_wait(other)
    other.join()
    assert other.answer is None
    assert not NudgeSchedule.objects.exists()


@pytest.fixture
def agent(board: Board) -> Agent:
    return make_agent(board.organization)


def making(organization: Organization, **target: Any) -> Callable[[], Any]:
    return partial(make_schedule, organization, **target)


def changing(organization: Organization, **target: Any) -> Callable[[], Any]:
    schedule = make_schedule(organization, agents=[make_agent(organization).pk])
    return partial(change_schedule, schedule, {"agents": [], **target}, by=SYSTEM)


@pytest.mark.parametrize("naming", [making, changing])
def test_an_agent_that_is_being_deleted_is_not_named(agent: Agent, naming: Any) -> None:
    other = Beside(naming(agent.organization, agents=[agent.pk]))
    with transaction.atomic():
        delete_agent(agent, by=SYSTEM)
        begin_and_wait(other)
    other.join()
    assert isinstance(other.answer, AgentNotFound)


@pytest.mark.parametrize("naming", [making, changing])
def test_a_board_that_is_being_deleted_is_not_named(board: Board, naming: Any) -> None:
    other = Beside(naming(board.organization, board=board))
    with transaction.atomic():
        delete_board(board, by=SYSTEM)
        begin_and_wait(other)
    other.join()
    assert isinstance(other.answer, BoardNotFound)


def test_an_agent_is_deleted_after_the_schedule_that_names_it(board: Board, agent: Agent) -> None:
    other = Beside(partial(delete_agent, agent, by=SYSTEM))
    with transaction.atomic():
        schedule = make_schedule(board.organization, agents=[agent.pk])
        begin_and_wait(other)
    other.join()
    assert other.answer is None
    assert not schedule.agents.exists()
