"""The admin of boards, seats and tasks."""

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from agents.activity import SYSTEM
from agents.models import Activity, User
from boards.actions import seat_agent
from boards.models import Board, Seat, Task
from tests.factories import (
    counted_queries,
    make_agent,
    make_board,
    make_live_work,
    make_organization,
    make_task,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def admin(client):
    client.force_login(User.objects.create_superuser(username="root"))
    return client


@pytest.fixture
def organization():
    return make_organization()


def page(model, view="changelist", *of):
    return reverse(f"admin:boards_{model}_{view}", args=of)


def said(response):
    return [str(message) for message in get_messages(response.wsgi_request)]


def board_form(organization, **fields):
    return {
        "organization": organization.id,
        "name": "Owls",
        "max_queue": "50",
        "max_agents": "10",
        "success_metrics": "{}",
        "require_approval_for_done": "on",
        "worker_queue": "executions",
        "default_branch": "main",
        "merge_strategy": "merge",
        "copied_files": "[]",
        "environment": "{}",
        "tools": "null",
        "seats-TOTAL_FORMS": "0",
        "seats-INITIAL_FORMS": "0",
        **fields,
    }


@pytest.mark.parametrize("model", ["board", "seat", "task"])
def test_pages_of_a_model_load(admin, organization, model):
    board = make_board(organization)
    row = {
        "board": board,
        "seat": seat_agent(board, make_agent(organization), by=SYSTEM),
        "task": make_task(board),
    }[model]
    for path in (page(model) + "?q=a", page(model, "add"), page(model, "change", row.pk)):
        assert admin.get(path).status_code == 200
    assert admin.get(page(model, "delete", row.pk)).status_code == 200


def test_a_board_is_created_and_its_secrets_are_never_shown(admin, organization):
    form = board_form(organization, environment='{"KEY": "secret-1"}')
    response = admin.post(page("board", "add"), form)
    assert response.status_code == 302, response.context["errors"]
    board = Board.objects.get()
    assert (board.slug, board.environment) == ("owls", {"KEY": "secret-1"})
    shown = admin.get(page("board", "change", board.pk)).content.decode()
    assert "KEY" in shown
    assert "secret-1" not in shown


def test_a_board_saved_as_it_is_keeps_its_environment(admin, organization):
    board = make_board(organization, name="Owls", environment={"A": "1", "B": "2"})
    change = page("board", "change", board.pk)
    form = board_form(organization, slug="owls", max_concurrent="3")
    assert admin.post(change, form).status_code == 302
    board.refresh_from_db()
    assert board.environment == {"A": "1", "B": "2"}
    assert not Activity.objects.filter(type="board.updated").exists()
    assert admin.post(change, form | {"environment": '{"A": null, "C": "3"}'}).status_code == 302
    board.refresh_from_db()
    assert board.environment == {"B": "2", "C": "3"}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("copied_files", '["../x"]'),
        ("environment", '{"1": "x"}'),
        ("repository", "--x"),
        ("worker_queue", "a b"),
        ("model", "x"),
    ],
)
def test_a_wrong_field_is_an_error_beside_it(admin, organization, field, value):
    response = admin.post(page("board", "add"), board_form(organization, **{field: value}))
    assert response.status_code == 200
    assert field in response.context["adminform"].form.errors


def test_agents_are_seated_below_their_board(admin, organization):
    board, agent = make_board(organization, name="Owls"), make_agent(organization)
    form = board_form(organization, slug="owls", max_concurrent="3")
    row = {"seats-TOTAL_FORMS": "1", "seats-0-agent": agent.id, "seats-0-role": "lead"}
    response = admin.post(page("board", "change", board.pk), form | row)
    assert response.status_code == 302, response.context["errors"]
    assert Seat.objects.get().role == "lead"
    assert Activity.objects.first().type == "seat.created"


def test_refusals_are_messages(admin, organization):
    board = make_board(organization)
    stranger = make_agent(make_organization())
    form = {"board": board.id, "agent": stranger.id, "role": "worker"}
    assert "another organization" in said(admin.post(page("seat", "add"), form))[0]
    make_live_work(make_agent(organization), board=board)
    response = admin.post(page("board", "delete", board.pk), {"post": "yes"})
    assert "live execution" in said(response)[-1]
    assert Board.objects.exists()
    assert not Seat.objects.exists()


def test_boards_are_paused_and_go_on(admin, organization):
    board = make_board(organization)
    for name, paused in (("pause", True), ("unpause", False)):
        admin.post(page("board"), {"action": name, "_selected_action": [board.pk]})
        board.refresh_from_db()
        assert board.is_paused is paused


def test_tasks_are_written_by_the_actions(admin, organization):
    board = make_board(organization)
    form = {"board": board.id, "title": "T", "status": "inbox", "priority": "3"}
    assert admin.post(page("task", "add"), form).status_code == 302
    task = Task.objects.get()
    form["status"] = "review"
    assert admin.post(page("task", "change", task.pk), form).status_code == 302
    assert admin.post(page("task", "delete", task.pk), {"post": "yes"}).status_code == 302
    types = Activity.objects.filter(task_id=task.id).values_list("type", flat=True)
    assert list(types) == ["task.deleted", "task.moved", "task.created"]


@pytest.mark.parametrize("model", ["board", "seat", "task"])
def test_a_list_costs_the_same_for_more_rows(admin, organization, model):
    board, costs = make_board(organization), []
    for _ in range(2):
        for _ in range(10):
            agent = make_agent(organization)
            seat_agent(board, agent, by=SYSTEM)
            make_task(board, assigned_agent=agent)
            make_board(organization)
        with counted_queries() as queries:
            assert admin.get(page(model)).status_code == 200
        costs.append(len(queries))
    assert costs[1] <= costs[0]
