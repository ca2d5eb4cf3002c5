"""The permanent record as operators read it."""

import pytest

from agents.activity import SYSTEM, Target, record
from agents.models import Role
from boards.actions import delete_task
from tests.factories import (
    API,
    client_of,
    make_agent,
    make_board,
    make_organization,
    make_task,
)

pytestmark = pytest.mark.django_db


def types(client, query=""):
    page = client.get(f"{API}/activity{query}").json()
    return [line["type"] for line in page["results"]]


def test_lines_are_filtered_by_what_they_tell_of():
    organization = make_organization()
    agent, board = make_agent(organization), make_board(organization)
    task = make_task(board)
    execution = agent.id
    record(organization.id, "execution.queued", by=SYSTEM, target=Target(execution_id=execution))
    client = client_of(organization, Role.VIEWER)
    assert types(client, f"?agent={agent.id}") == ["agent.created"]
    assert types(client, f"?board={board.id}") == ["task.created", "board.created"]
    assert types(client, f"?task={task.id}") == ["task.created"]
    assert types(client, f"?execution={execution}") == ["execution.queued"]
    assert types(client, "?type=board.created") == ["board.created"]
    assert client.get(f"{API}/activity?task=x").status_code == 422
    assert client.get(f"{API}/activity?who=x").status_code == 400


def test_a_line_outlives_its_task_and_names_its_actor():
    organization = make_organization()
    task = make_task(make_board(organization))
    delete_task(task, by=SYSTEM)
    page = client_of(organization).get(f"{API}/activity?task={task.id}").json()
    deleted, created = page["results"]
    assert (deleted["type"], created["type"]) == ("task.deleted", "task.created")
    assert deleted["actor"] == {"kind": "system", "id": None, "name": "Signalbox"}
    assert deleted["data"] == {"title": task.title}


def test_the_record_is_read_only_and_of_one_organization():
    organization, other = make_organization(), make_organization()
    make_agent(other)
    client = client_of(organization)
    assert types(client) == ["key.created"]
    assert client.post(f"{API}/activity", {}).status_code == 405
    assert client.delete(f"{API}/activity").status_code == 405
