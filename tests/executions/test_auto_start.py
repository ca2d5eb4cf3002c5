"""Whom Signalbox runs hears what it is told while it works, or starts on a task of its own."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest
from django.db import connection, transaction
from rest_framework.test import APIClient

from agents.actions import pause_agent, unpause_agent
from agents.activity import SYSTEM
from agents.models import Agent, LiveWork, Organization
from boards.actions import change_task, configure_board, pause_board, unpause_board
from boards.actions.nudges import nudge
from boards.actions.occurrences import run_now
from boards.models import Board, Task
from executions import auto_start
from executions.at_work import Terms, start_on
from executions.engine.sweep import sweep
from executions.models import Execution, Signal
from tests.boards.nudging import make_schedule, nudges_of
from tests.executions.carrying import complete, fail
from tests.factories import (
    all_at_once,
    client_of,
    make_board,
    make_seat,
    make_task,
    somebody_waits_for_a_lock,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def board(organization: Organization) -> Board:
    return make_board(organization, auto_start=True)


@pytest.fixture
def worker(board: Board) -> Agent:
    return make_seat(board, name="Bob")


def quietly(task: Task, agent: Agent) -> Task:
    """The task is the agent's, and the hint of that was lost."""
    Task.objects.filter(pk=task.pk).update(assigned_agent=agent)
    task.refresh_from_db()
    return task


def heard(run: Execution) -> list[str]:
    return [each.value["text"] for each in Signal.objects.filter(execution=run, name="message")]


def test_an_assignment_starts_it(board: Board, worker: Agent) -> None:
    task = make_task(board)
    change_task(task, {"assigned_agent": worker}, by=SYSTEM)
    run = Execution.objects.get()
    task.refresh_from_db()
    assert (run.task, run.agent, task.status) == (task, worker, "in_progress")
    assert not Signal.objects.exists()


def test_a_new_card_of_its_own_starts_it_by_the_api(
    organization: Organization, board: Board, worker: Agent
) -> None:
    body = {"title": "Mow", "assigned_agent": str(worker.id)}
    answer = client_of(organization).post(f"/api/v0/boards/{board.id}/tasks", body)
    assert answer.status_code == 201, answer.content
    assert str(Execution.objects.get().task_id) == answer.json()["id"]


def test_a_nudge_or_mention_starts_it_on_a_task_of_its_own_only(
    organization: Organization, board: Board, worker: Agent
) -> None:
    nobodys = make_task(board)
    nudge(worker, "Go on.", board_id=board.id, by=SYSTEM)
    assert not Execution.objects.exists()
    own = quietly(make_task(board), worker)
    comments = f"/api/v0/boards/{board.id}/tasks/{nobodys.id}/comments"
    client_of(organization).post(comments, {"content": "@Bob, where are you?"})
    assert Execution.objects.get().task == own


def test_what_is_live_hears_of_it_instead(
    organization: Organization, board: Board, worker: Agent
) -> None:
    first = make_task(board, assigned_agent=worker)
    run = Execution.objects.get()
    change_task(make_task(board, title="Rake"), {"assigned_agent": worker}, by=SYSTEM)
    nudge(worker, "Hurry.", board_id=board.id, by=SYSTEM)
    comments = f"/api/v0/boards/{board.id}/tasks/{first.id}/comments"
    client_of(organization).post(comments, {"content": "@Bob, twice please."})
    client_of(organization).post(comments, {"content": "Only a comment."})
    told = heard(run)
    parts = ("assigned another task to you: Rake", "nudges you: Hurry.", "@Bob, twice please.")
    assert len(told) == len(parts)
    assert all(part in text for part, text in zip(parts, told, strict=True))
    assert Execution.objects.count() == 1


def test_the_run_of_the_task_hears_what_is_said_of_it(
    organization: Organization, board: Board, worker: Agent, api: APIClient
) -> None:
    Agent.objects.update(max_concurrency=None)
    make_task(board, assigned_agent=worker)
    second = make_task(board)
    api.post(f"/api/v0/agents/{worker.slug}/start", {"task": str(second.id)})
    comments = f"/api/v0/boards/{board.id}/tasks/{second.id}/comments"
    client_of(organization).post(comments, {"content": "@Bob, this one."})
    assert len(heard(Execution.objects.get(task=second))) == 1


def test_what_is_live_hears_without_auto_start_too(organization: Organization) -> None:
    board = make_board(organization)
    worker = make_seat(board)
    task = make_task(board, assigned_agent=worker)
    assert not Execution.objects.exists()
    client_of(organization).post(f"/api/v0/boards/{board.id}/tasks/{task.id}/start")
    nudge(worker, "Hurry.", board_id=board.id, by=SYSTEM)
    assert len(heard(Execution.objects.get())) == 1


def test_a_nudge_of_a_schedule_leaves_the_start_to_the_sweep(board: Board, worker: Agent) -> None:
    """It may nudge hundreds in one transaction."""
    own = quietly(make_task(board), worker)
    schedule = make_schedule(board, name="Now and then")
    run_now(schedule, by=SYSTEM)
    assert nudges_of(worker) == [1]
    assert not Execution.objects.exists()
    sweep()
    assert Execution.objects.get().task == own


def test_who_runs_itself_is_left_to_itself(board: Board) -> None:
    make_task(board, assigned_agent=make_seat(board, kind="external"))
    sweep()
    assert not Execution.objects.exists()


def test_what_was_lost_is_found_by_the_sweep(board: Board, worker: Agent) -> None:
    task = quietly(make_task(board), worker)
    assert sweep()["start_idle"] == 1
    assert Execution.objects.get().task == task
    assert sweep()["start_idle"] == 0


def test_the_next_task_follows_the_last(board: Board, worker: Agent) -> None:
    for title in ("first", "second"):
        make_task(board, title=title, assigned_agent=worker)
    run = Execution.objects.get()
    assert sweep()["start_idle"] == 0
    complete(run)
    assert sweep()["start_idle"] == 1
    fail(Execution.objects.get(task__title="second"))
    # What failed stays in progress, and is nothing to start by itself again and again.
    assert sweep()["start_idle"] == 0


def test_what_is_paused_or_blocked_is_not_started(board: Board, worker: Agent) -> None:
    pause_agent(worker, by=SYSTEM)
    task = make_task(board, assigned_agent=worker)
    assert sweep()["start_idle"] == 0
    unpause_agent(worker, by=SYSTEM)
    pause_board(board, by=SYSTEM)
    assert sweep()["start_idle"] == 0
    unpause_board(board, by=SYSTEM)
    configure_board(board, {"auto_start": False}, by=SYSTEM)
    assert sweep()["start_idle"] == 0
    configure_board(board, {"auto_start": True}, by=SYSTEM)
    blocker = make_task(board)
    blocked = quietly(make_task(board, depends_on_task_ids=[blocker.id]), worker)
    assert sweep()["start_idle"] == 1
    complete(Execution.objects.get(task=task))
    assert sweep()["start_idle"] == 0
    assert not Execution.objects.filter(task=blocked).exists()


def test_a_refusal_is_no_error_and_is_asked_again(board: Board, worker: Agent) -> None:
    Board.objects.update(max_concurrent=1, max_queue=0)
    other = make_task(board, assigned_agent=make_seat(board))
    task = make_task(board, assigned_agent=worker)
    assert [run.task for run in Execution.objects.all()] == [other]
    assert Task.objects.get(pk=task.pk).status == "inbox"
    complete(Execution.objects.get())
    assert sweep()["start_idle"] == 1


def test_of_two_that_are_told_at_once_one_starts(board: Board, worker: Agent) -> None:
    tasks = [quietly(make_task(board), worker) for _ in range(4)]
    calls: list[Any] = [partial(nudge, board, worker, "Go.", by=SYSTEM) for _ in tasks]
    all_at_once(*calls, auto_start.start_idle, auto_start.start_idle)
    assert Execution.objects.count() == 1
    assert LiveWork.objects.count() == 1


def test_who_looks_while_it_is_being_started_waits_and_sees(board: Board, worker: Agent) -> None:
    Agent.objects.update(max_concurrency=None)
    first, second = (quietly(make_task(board), worker) for _ in range(2))
    looking = threading.Thread(target=_start_idle)
    with transaction.atomic():
        start_on(second, worker, Terms(), by=SYSTEM)
        looking.start()
        wait_until(somebody_waits_for_a_lock)
    looking.join(30)
    assert [run.task for run in Execution.objects.all()] == [second]
    assert Task.objects.get(pk=first.pk).status == "inbox"


def _start_idle() -> None:
    try:
        auto_start.start_idle()
    finally:
        connection.close()
