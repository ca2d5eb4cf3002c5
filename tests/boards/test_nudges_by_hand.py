"""Operators nudge agents: with a seat or without, through whatever gateway they have."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.models import Activity, Agent, Message, MessageState, Role
from boards.models import Board
from tests.boards.gateways import on_loopback, reached_at
from tests.factories import API, client_of, make_agent, make_board, make_organization, make_seat
from tests.receiver import receiver

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def board() -> Board:
    return make_board(make_organization())


@pytest.fixture
def agent(board: Board) -> Agent:
    return make_seat(board, kind="external", slug="olga")


@pytest.fixture
def client(board: Board) -> APIClient:
    return client_of(board.organization, Role.OPERATOR)


def nudge(client: APIClient, agent: Any, **headers: str) -> Any:
    return client.post(f"{API}/agents/{agent}/nudge", {"message": "Go on."}, headers=headers)


def test_it_is_told_and_the_record_says_by_whom(
    client: APIClient, board: Board, agent: Agent
) -> None:
    answer = nudge(client, "olga")

    assert answer.status_code == 200, answer.content
    message = Message.objects.get()
    assert answer.json() == {"message_id": str(message.pk)}
    assert (message.recipient, message.content, message.board_id) == (agent, "Go on.", board.pk)
    assert message.correlation_id == f"nudge:{board.pk}:{agent.pk}"
    line = Activity.objects.get(type="agent.nudge.sent")
    assert (line.actor_kind, line.agent_id, line.board_id) == ("key", agent.pk, board.pk)
    agent.refresh_from_db()
    assert (agent.unanswered_nudges, agent.last_nudged_at is not None) == (1, True)


def test_an_agent_without_a_seat_is_told_of_no_board(client: APIClient, board: Board) -> None:
    main = make_agent(board.organization)
    assert nudge(client, main.pk).status_code == 200
    message = Message.objects.get()
    assert (message.board_id, message.correlation_id) == (None, f"nudge:{main.pk}")


def test_with_a_key_it_is_told_once(client: APIClient, agent: Agent) -> None:
    first, again = (nudge(client, agent.pk, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == again.json()
    assert Message.objects.count() == 1


def test_what_its_gateway_does_not_take_is_kept_failed(
    client: APIClient, agent: Agent, settings: Any
) -> None:
    on_loopback(settings)
    with receiver() as far:
        far.manner = lambda taken: 500
        reached_at(far, agent)
        answer = nudge(client, agent.pk)

    assert (answer.status_code, answer.json()["code"]) == (502, "GATEWAY_FAILED")
    assert Message.objects.get().state == MessageState.FAILED
    assert Activity.objects.filter(type="agent.nudge.failed").count() == 1


def test_through_a_gateway_that_is_off_nothing_is_written_but_the_line(
    client: APIClient, agent: Agent
) -> None:
    with receiver() as far:
        type(reached_at(far, agent)).objects.update(is_enabled=False)
    answer = nudge(client, agent.pk)

    assert (answer.status_code, answer.json()["code"]) == (422, "GATEWAY_UNREACHABLE")
    assert not Message.objects.exists()
    line = Activity.objects.get(type="agent.nudge.failed")
    assert (line.agent_id, line.data["code"]) == (agent.pk, "GATEWAY_UNREACHABLE")
    agent.refresh_from_db()
    assert agent.unanswered_nudges == 0


def test_who_may_not_and_what_is_wrong_is_refused(board: Board, agent: Agent) -> None:
    viewer = client_of(board.organization, Role.VIEWER)
    assert nudge(viewer, agent.pk).status_code == 403
    stranger = client_of(make_organization())
    assert nudge(stranger, agent.pk).status_code == 404
    operator = client_of(board.organization, Role.OPERATOR)
    place = f"{API}/agents/{agent.pk}/nudge"
    for body in ({}, {"message": ""}, {"message": "x", "owls": 1}):
        assert operator.post(place, body).status_code == 422
    assert not Message.objects.exists()
