"""Many change one board's tasks at once, and the rules hold."""

from __future__ import annotations

from functools import partial

import pytest

from agents.activity import SYSTEM
from agents.errors import Refusal
from agents.models import Activity
from boards.actions import change_task, claim_task, configure_board, delete_task
from boards.errors import DependencyCycle, TaskClaimed, TaskNotFound
from boards.models import Dependency, Task
from tests.factories import (
    acting,
    all_at_once,
    make_board,
    make_organization,
    make_seat,
    make_task,
)

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 50


@pytest.fixture
def board():
    return make_board(make_organization(), require_approval_for_done=False)


def test_of_twenty_workers_one_gets_the_task(board) -> None:
    workers = [make_seat(board) for _ in range(20)]
    for _ in range(ROUNDS):
        task = make_task(board)
        answers = all_at_once(*(partial(claim_task, task, by=acting(worker)) for worker in workers))
        won = [answer for answer in answers if isinstance(answer, Task)]
        assert len(won) == 1, answers
        assert sum(isinstance(answer, TaskClaimed) for answer in answers) == 19
        task.refresh_from_db()
        assert task.assigned_agent_id == won[0].assigned_agent_id
        assert task.moves.count() == 1


def test_two_sides_make_no_circle_together(board) -> None:
    for _ in range(ROUNDS):
        one, two = make_task(board), make_task(board)
        answers = all_at_once(
            lambda one=one, two=two: change_task(one, {"depends_on_task_ids": [two.id]}, by=SYSTEM),
            lambda one=one, two=two: change_task(two, {"depends_on_task_ids": [one.id]}, by=SYSTEM),
        )
        assert sum(isinstance(answer, DependencyCycle) for answer in answers) == 1, answers
        assert Dependency.objects.filter(task__in=[one, two]).count() == 1


def test_a_gate_that_is_closed_meanwhile_holds_or_came_too_late(board) -> None:
    for _ in range(ROUNDS):
        configure_board(board, {"require_review_before_done": False}, by=SYSTEM)
        task = make_task(board)
        all_at_once(
            lambda: configure_board(board, {"require_review_before_done": True}, by=SYSTEM),
            lambda task=task: change_task(task, {"status": "done"}, by=SYSTEM),
        )
        task.refresh_from_db()
        if task.status == "done":
            moved = Activity.objects.get(task_id=task.id, type="task.moved")
            closed = Activity.objects.filter(board_id=board.id, type="board.updated").latest("id")
            assert moved.id < closed.id


def test_a_task_that_is_deleted_meanwhile_is_changed_by_nobody(board) -> None:
    worker = make_seat(board)
    for _ in range(ROUNDS):
        task = make_task(board)
        changed, deleted = all_at_once(
            partial(claim_task, task, by=acting(worker)), partial(delete_task, task, by=SYSTEM)
        )
        assert deleted is None
        assert isinstance(changed, Task | TaskNotFound)
        assert not Task.objects.filter(pk=task.pk).exists()


def test_starting_and_blocking_at_once_leaves_nothing_started_that_waits(board) -> None:
    worker, first = make_seat(board), make_task(board)
    for _ in range(ROUNDS):
        task = make_task(board)
        answers = all_at_once(
            partial(claim_task, task, by=acting(worker)),
            partial(change_task, task, {"depends_on_task_ids": [first.id]}, by=SYSTEM),
        )
        assert not [
            each
            for each in answers
            if isinstance(each, Exception) and not isinstance(each, Refusal)
        ]
        task.refresh_from_db()
        assert (task.status, task.assigned_agent_id) == ("inbox", None), answers
