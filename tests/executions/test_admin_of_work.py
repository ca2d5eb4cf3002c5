"""Operators start, stop, pause and resume agents and tasks in the admin."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from agents.models import Agent, User
from boards.models import Board, Task, TaskStatus
from executions.models import Execution, Status
from tests.factories import make_board, make_organization, make_seat, make_task

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client: Client, db: None) -> Client:
    client.force_login(User.objects.create_superuser(username="root"))
    return client


@pytest.fixture
def board() -> Board:
    return make_board(make_organization())


@pytest.fixture
def worker(board: Board) -> Agent:
    return make_seat(board, model="scripted:echo")


def page(of: type[Agent] | type[Task]) -> str:
    return reverse(f"admin:{of._meta.app_label}_{of._meta.model_name}_changelist")


def act(client: Client, name: str, *rows: Any) -> list[str]:
    """Do it with these rows; what the operator is told then, on a page that comes."""
    body = {"action": name, "_selected_action": [str(row.pk) for row in rows]}
    answer = client.post(page(type(rows[0])), body, follow=True)
    assert answer.redirect_chain, answer.content
    assert answer.status_code == 200, answer.content
    return [str(message) for message in answer.context["messages"]]


def person(client: Client, *allowed: str) -> Client:
    """Somebody of the staff who may do no more than this."""
    user = User.objects.create_user("sam", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=allowed))
    client.force_login(user)
    return client


def offered(client: Client, of: type[Agent] | type[Task]) -> set[str]:
    form = client.get(page(of)).context["action_form"]
    choices = form.fields["action"].choices if form else ()
    return {name for name, _ in choices} & {"start", "stop", "pause", "unpause"}


def test_an_agent_is_started_paused_resumed_and_stopped(
    admin: Client, board: Board, worker: Agent
) -> None:
    task = make_task(board)
    assert act(admin, "start", worker) == ["Agents started: 1."]
    run = Execution.objects.get()
    task.refresh_from_db()
    assert (run.task_id, task.status) == (task.pk, TaskStatus.IN_PROGRESS)
    assert task.assigned_agent_id == worker.pk
    assert act(admin, "pause", worker) == ["Agents paused: 1."]
    worker.refresh_from_db()
    assert worker.is_paused
    assert act(admin, "unpause", worker) == ["Agents resumed: 1."]
    worker.refresh_from_db()
    assert not worker.is_paused
    assert act(admin, "stop", worker) == ["Agents stopped: 1."]
    run.refresh_from_db()
    assert run.status == Status.CANCELLED


def test_a_task_is_started_with_the_agent_that_has_it(
    admin: Client, board: Board, worker: Agent
) -> None:
    task = make_task(board, assigned_agent=worker)
    assert act(admin, "start", task) == ["Tasks started: 1."]
    assert Execution.objects.get(task=task).agent_id == worker.pk


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("start", "no task"),
        ("stop", "nothing"),
        ("unpause", "is paused by anybody"),
    ],
)
def test_what_an_agent_cannot_do_now_is_a_message(
    admin: Client, worker: Agent, name: str, says: str
) -> None:
    (told,) = act(admin, name, worker)
    assert told.startswith(f"{worker}: ")
    assert says in told.lower(), told
    assert not Execution.objects.exists()


def test_an_agent_without_a_seat_is_not_started(admin: Client) -> None:
    main = make_seat(make_board(make_organization()))
    main.seat.delete()
    assert act(admin, "start", main) == [f"{main}: The agent has no seat on a board."]


def test_tasks_that_cannot_be_started_are_told_and_the_others_are(
    admin: Client, board: Board, worker: Agent
) -> None:
    nobodys = make_task(board)
    first = make_task(board, assigned_agent=worker)
    waits = make_task(board, depends_on_task_ids=[first.pk])
    Task.objects.filter(pk=waits.pk).update(assigned_agent=worker)
    finished = make_task(board, assigned_agent=worker)
    Task.objects.filter(pk=finished.pk).update(status=TaskStatus.DONE)
    told = act(admin, "start", nobodys, first, waits, finished)
    assert "Tasks started: 1." in told
    refused = {text.partition(": ")[0] for text in told} - {"Tasks started"}
    assert refused == {str(nobodys), str(waits), str(finished)}
    assert [run.task_id for run in Execution.objects.all()] == [first.pk]
    (again,) = act(admin, "start", first)
    assert again.startswith(f"{first}: ")
    assert Execution.objects.count() == 1


def test_who_may_only_look_is_offered_nothing(client: Client, board: Board, worker: Agent) -> None:
    looker = person(client, "view_agent", "view_task", "view_execution")
    task = make_task(board, assigned_agent=worker)
    for of, row in ((Agent, worker), (Task, task)):
        assert offered(looker, of) == set()
        for name in ("start", "stop", "pause", "unpause"):
            body = {"action": name, "_selected_action": [str(row.pk)]}
            assert looker.post(page(of), body).status_code in (200, 302)
    worker.refresh_from_db()
    assert not worker.is_paused
    assert not Execution.objects.exists()


def test_who_changes_agents_pauses_them_and_starts_none(
    client: Client, board: Board, worker: Agent
) -> None:
    make_task(board)
    changer = person(client, "view_agent", "change_agent")
    assert offered(changer, Agent) == {"pause", "unpause"}
    body = {"action": "start", "_selected_action": [str(worker.pk)]}
    changer.post(page(Agent), body, follow=True)
    assert not Execution.objects.exists()
    assert act(changer, "pause", worker) == ["Agents paused: 1."]


def test_who_changes_executions_starts_and_stops(
    client: Client, board: Board, worker: Agent
) -> None:
    make_task(board)
    controller = person(client, "view_agent", "view_task", "change_execution")
    assert offered(controller, Agent) == {"start", "stop"}
    assert offered(controller, Task) == {"start"}
    assert act(controller, "start", worker) == ["Agents started: 1."]
