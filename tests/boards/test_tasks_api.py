"""Tasks over REST: created, changed, moved, deleted."""

import pytest

from agents.models import Activity
from tests.factories import (
    API,
    client_of,
    make_agent,
    make_board,
    make_live_work,
    make_organization,
    make_task,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def client(organization):
    return client_of(organization)


@pytest.fixture
def board(organization):
    return make_board(organization)


def lines_about(task_id):
    lines = Activity.objects.filter(task_id=task_id).order_by("id")
    return [(line.type, line.data) for line in lines]


def test_a_new_task_is_201_with_its_place(client, organization, board):
    agent = make_agent(organization)
    given = {"title": "Count owls", "priority": 1, "assigned_agent": str(agent.id)}
    response = client.post(f"{API}/boards/{board.id}/tasks", given)
    assert response.status_code == 201, response.content
    task = response.json()
    assert {**given, "status": "inbox", "board": str(board.id)}.items() <= task.items()
    assert client.get(response["Location"]).json() == task
    assert lines_about(task["id"]) == [
        ("task.created", {"title": "Count owls", "status": "inbox"}),
        ("task.assigned", {"before": None}),
    ]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "x" * 501),
        ("status", "lost"),
        ("priority", 0),
        ("priority", 6),
        ("assigned_agent", "x"),
        ("assigned_agent", "0198f2b4-0000-7000-8000-000000000000"),
        ("due_at", "tomorrow"),
        ("unheard_of", 1),
    ],
)
def test_a_wrong_field_is_422_and_named(client, board, field, value):
    response = client.post(f"{API}/boards/{board.id}/tasks", {"title": "T", field: value})
    assert response.status_code == 422, response.content
    assert {error["field"] for error in response.json()["errors"]} == {field}


def test_an_assignee_of_another_organization_does_not_exist(client, board):
    stranger = make_agent(make_organization())
    body = {"title": "T", "assigned_agent": str(stranger.id)}
    response = client.post(f"{API}/boards/{board.id}/tasks", body)
    assert response.json()["errors"][0]["code"] == "does_not_exist"


def test_a_move_and_a_change_are_told_apart(client, organization, board):
    agent = make_agent(organization)
    task = make_task(board, assigned_agent=agent)
    place = f"{API}/boards/{board.id}/tasks/{task.id}"
    body = {"status": "review", "title": "New", "assigned_agent": None}
    assert client.patch(place, body).json()["assigned_agent"] is None
    assert client.patch(place, body).status_code == 200
    assert lines_about(task.id)[2:] == [
        ("task.moved", {"before": "inbox", "after": "review"}),
        ("task.updated", {"changed": ["title"]}),
        ("task.assigned", {"before": str(agent.id)}),
    ]


def test_a_stale_etag_is_412(client, board):
    place = f"{API}/boards/{board.id}/tasks/{make_task(board).id}"
    etag = client.get(place)["ETag"]
    assert client.patch(place, {"title": "1"}, HTTP_IF_MATCH=etag).status_code == 200
    assert client.patch(place, {"title": "2"}, HTTP_IF_MATCH=etag).status_code == 412


def test_a_task_at_work_is_not_deleted(client, organization, board):
    task = make_task(board)
    live = make_live_work(make_agent(organization), task)
    place = f"{API}/boards/{board.id}/tasks/{task.id}"
    response = client.delete(place)
    assert (response.status_code, response.json()["code"]) == (409, "AGENT_ALREADY_RUNNING")
    assert response.json()["current_execution_id"] == str(live.execution_id)
    live.delete()
    assert client.delete(place).status_code == 204
    assert client.get(place).status_code == 404
    assert lines_about(task.id)[-1] == ("task.deleted", {"title": task.title})


def test_a_task_is_on_its_own_board_only(client, organization, board):
    task = make_task(make_board(organization))
    assert client.get(f"{API}/boards/{board.id}/tasks/{task.id}").status_code == 404


def test_the_list_is_filtered(client, organization, board):
    agent = make_agent(organization)
    make_task(board, title="a", status="review", assigned_agent=agent)
    make_task(board, title="b")

    def titles(query):
        page = client.get(f"{API}/boards/{board.id}/tasks?{query}").json()
        return [task["title"] for task in page["results"]]

    assert titles("") == ["b", "a"]
    assert titles("status=review") == ["a"]
    assert titles(f"assigned_agent={agent.id}") == ["a"]
    assert titles("search=A") == ["a"]
    assert client.get(f"{API}/boards/{board.id}/tasks?status=lost").status_code == 422
    assert client.get(f"{API}/boards/{board.id}/tasks?colour=red").status_code == 400


def test_a_search_looks_into_the_newest_that_other_filters_leave(client, board, monkeypatch):
    monkeypatch.setattr("boards.views.tasks.NEWEST", 2)
    for title, status in (("1", "inbox"), ("2", "review"), ("3", "review"), ("4", "inbox")):
        make_task(board, title=f"Owl {title}", status=status)
    make_task(make_board(board.organization), title="Owl 5")

    def titles(query):
        page = client.get(f"{API}/boards/{board.id}/tasks?{query}").json()
        return [task["title"] for task in page["results"]]

    assert titles("search=owl") == ["Owl 4", "Owl 3"]
    assert titles("search=owl&status=review") == ["Owl 3", "Owl 2"]
    assert titles("search=2") == []
    assert titles("search=2&status=review") == ["Owl 2"]
