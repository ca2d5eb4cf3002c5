"""Seats: one for each agent, one lead for each board."""

import pytest

from agents.activity import SYSTEM
from agents.models import Activity
from boards import actions
from boards.errors import AlreadySeated, LeadTaken
from boards.models import Seat
from tests.factories import (
    API,
    acting,
    all_at_once,
    client_of,
    make_agent,
    make_board,
    make_live_work,
    make_organization,
    make_seat,
    make_task,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def client(organization):
    return client_of(organization)


def test_an_agent_is_seated_raised_and_unseated(client, organization):
    board, agent = make_board(organization), make_agent(organization)
    seated = client.post(f"{API}/boards/{board.id}/seats", {"agent": str(agent.id)})
    assert seated.status_code == 201, seated.content
    assert seated.json()["role"] == "worker"
    place = seated["Location"]
    assert client.patch(place, {"role": "lead"}).json()["role"] == "lead"
    assert client.get(f"{API}/boards/{board.id}/seats").json()["results"][0]["role"] == "lead"
    assert client.delete(place).status_code == 204
    assert client.get(place).status_code == 404
    types = Activity.objects.filter(agent_id=agent.id).values_list("type", flat=True)
    assert list(types)[:3] == ["seat.deleted", "seat.updated", "seat.created"]


def test_who_is_unseated_leaves_its_tasks_in_the_inbox(client, organization):
    board, agent = make_board(organization), make_agent(organization)
    seat = actions.seat_agent(board, agent, by=SYSTEM)
    task = make_task(board, status="in_progress", assigned_agent=agent)
    place = f"{API}/boards/{board.id}/seats/{seat.id}"
    live = make_live_work(agent, task)
    refused = client.delete(place)
    assert (refused.status_code, refused.json()["code"]) == (409, "AGENT_ALREADY_RUNNING")
    live.delete()
    assert client.delete(place).status_code == 204
    task.refresh_from_db()
    assert (task.status, task.assigned_agent) == ("inbox", None)
    assert task.moves.get().after == "inbox"


def test_who_is_deleted_leaves_its_tasks_in_the_inbox(client, organization):
    board, agent = make_board(organization), make_agent(organization)
    actions.seat_agent(board, agent, by=SYSTEM)
    begun = make_task(board, status="in_progress", assigned_agent=agent)
    live = make_live_work(agent, begun)
    assert client.delete(f"{API}/agents/{agent.id}").status_code == 409
    begun.refresh_from_db()
    assert (begun.status, begun.assigned_agent) == ("in_progress", agent)
    live.delete()
    assert client.delete(f"{API}/agents/{agent.id}").status_code == 204
    begun.refresh_from_db()
    assert (begun.status, begun.assigned_agent) == ("inbox", None)
    assert begun.moves.get().after == "inbox"


@pytest.mark.django_db(transaction=True)
def test_nobody_is_given_a_task_while_it_leaves():
    board = make_board(make_organization())
    for _ in range(50):
        agent, task = make_seat(board), make_task(board)
        all_at_once(
            lambda agent=agent: actions.unseat_agent(agent.seat, by=SYSTEM),
            lambda agent=agent, task=task: actions.claim_task(task, by=acting(agent)),
        )
        task.refresh_from_db()
        assert (task.status, task.assigned_agent) == ("inbox", None)


def test_an_agent_has_one_seat(client, organization):
    agent = make_agent(organization)
    actions.seat_agent(make_board(organization), agent, by=SYSTEM)
    other = make_board(organization)
    response = client.post(f"{API}/boards/{other.id}/seats", {"agent": str(agent.id)})
    assert (response.status_code, response.json()["code"]) == (409, "AGENT_ALREADY_SEATED")


def test_a_board_has_one_lead(client, organization):
    board = make_board(organization)
    actions.seat_agent(board, make_agent(organization), role="lead", by=SYSTEM)
    body = {"agent": str(make_agent(organization).id), "role": "lead"}
    response = client.post(f"{API}/boards/{board.id}/seats", body)
    assert (response.status_code, response.json()["code"]) == (409, "BOARD_LEAD_TAKEN")
    worker = actions.seat_agent(board, make_agent(organization), by=SYSTEM)
    response = client.patch(f"{API}/boards/{board.id}/seats/{worker.id}", {"role": "lead"})
    assert (response.status_code, response.json()["code"]) == (409, "BOARD_LEAD_TAKEN")


def test_an_agent_of_another_organization_is_not_seated(client, organization):
    board, stranger = make_board(organization), make_agent(make_organization())
    response = client.post(f"{API}/boards/{board.id}/seats", {"agent": str(stranger.id)})
    assert response.status_code == 422
    assert response.json()["errors"][0]["code"] == "does_not_exist"


def test_the_agent_of_a_seat_is_fixed(client, organization):
    board, other = make_board(organization), make_agent(organization)
    seat = actions.seat_agent(board, make_agent(organization), by=SYSTEM)
    place = f"{API}/boards/{board.id}/seats/{seat.id}"
    assert client.patch(place, {"agent": str(other.id)}).status_code == 422


@pytest.mark.django_db(transaction=True)
def test_of_many_seats_asked_for_at_once_one_is_given():
    organization = make_organization()
    agent, board = make_agent(organization), make_board(organization)
    boards = [make_board(organization) for _ in range(3)]

    def seat(where, who, role):
        return lambda: actions.seat_agent(where, who, role=role, by=SYSTEM)

    answers = all_at_once(*[seat(where, agent, "worker") for where in boards])
    assert sum(isinstance(answer, AlreadySeated) for answer in answers) == 2
    leads = [make_agent(organization) for _ in range(3)]
    answers = all_at_once(*[seat(board, who, "lead") for who in leads])
    assert sum(isinstance(answer, LeadTaken) for answer in answers) == 2
    assert Seat.objects.count() == 2
