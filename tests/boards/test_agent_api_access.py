"""Every operation of the agent API by every kind of caller: who gets in, and how others are told.

`pytest -s -k table` prints the table.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient
from uuid_utils.compat import uuid7

from agents.actions import create_token
from agents.activity import SYSTEM
from agents.messages import Letter, send
from agents.models import AgentToken, MessageKind
from boards.agent_api.hints import HINTS
from tests.boards.agents import AGENT, World, with_token
from tests.factories import api_client, make_key, make_member, make_seat, signed_in

pytestmark = pytest.mark.django_db

Call = Callable[[APIClient, World], Any]


def _get(path: str) -> Call:
    return lambda client, world: client.get(_at(path, world))


def _post(path: str, body: Any = None) -> Call:
    return lambda client, world: client.post(_at(path, world), body)


def _at(path: str, world: World) -> str:
    return f"{AGENT}/{path.format(b=f'boards/{world.board.id}', w=world)}"


def _on_a_task(method: str, tail: str = "", body: Any = None) -> Call:
    def call(client: APIClient, world: World) -> Any:
        task = world.task()
        return getattr(client, method)(f"{world.home}/tasks/{task.id}{tail}", body)

    return call


def _hand_in(client: APIClient, world: World) -> Any:
    """A change that each part may make: a value of a custom field, of which there is none."""
    task = world.task()
    return client.patch(f"{world.home}/tasks/{task.id}", {"custom_field_values": {}})


def _comment(client: APIClient, world: World) -> Any:
    task = world.task(status="review")
    return client.post(f"{world.home}/tasks/{task.id}/comments", {"content": "See."})


def _remove(client: APIClient, world: World) -> Any:
    return client.delete(f"{world.home}/agents/{make_seat(world.board).id}")


def _onboard(client: APIClient, world: World) -> Any:
    world.begin_onboarding()
    return client.post(f"{world.home}/onboarding", {"question": "What for?"})


def _ack(client: APIClient, world: World) -> Any:
    for agent in (world.main, world.lead, world.worker, world.other_lead):
        letter = Letter(MessageKind.NUDGE, "Go on.", agent)
        message = send(world.organization, letter, by=SYSTEM)
        answer = client.post(f"{AGENT}/inbox/{message.id}/ack")
        if answer.status_code != 404:
            return answer
    return answer


SOUL = "{b}/agents/{w.worker.id}/soul"
ASK = {"action_type": "release", "reason": "It is ready."}
OPERATIONS: dict[str, Call] = {
    "agent_auth_health": _get("healthz"),
    "agent_board_discovery": _get("boards"),
    "agent_board_lookup": _get("{b}"),
    "agent_roster_discovery": _get("agents?board_id={w.board.id}"),
    "agent_board_task_discovery": _get("{b}/tasks"),
    "agent_board_tag_discovery": _get("{b}/tags"),
    "agent_board_webhook_payload_read": _get("{b}/webhooks/{w.webhook.id}/payloads/{w.payload.id}"),
    "agent_lead_create_task": _post("{b}/tasks", {"title": "New"}),
    "agent_task_update": _hand_in,
    "agent_task_delete": _on_a_task("delete"),
    "agent_task_comment_discovery": _on_a_task("get", "/comments"),
    "agent_task_comment_create": _comment,
    "agent_board_memory_discovery": _get("{b}/memory"),
    "agent_board_memory_record": _post("{b}/memory", {"content": "Owls sleep by day."}),
    "agent_board_approval_discovery": _get("{b}/approvals"),
    "agent_board_approval_request": _post("{b}/approvals", ASK),
    "agent_board_onboarding_update": _onboard,
    "agent_lead_create_agent": _post("agents", {"name": "Tess"}),
    "agent_lead_nudge_agent": _post("{b}/agents/{w.worker.id}/nudge", {"message": "Go on."}),
    "agent_heartbeat": _post("heartbeat"),
    "agent_board_soul_lookup": _get(SOUL),
    "agent_lead_update_agent_soul": lambda client, world: client.put(
        _at(SOUL, world), {"content": "Count twice."}
    ),
    "agent_lead_delete_board_agent": _remove,
    "agent_lead_ask_user_via_gateway_main": _post(
        "{b}/gateway/main/ask-user", {"content": "Which owls?"}
    ),
    "agent_main_message_board_lead": _post(
        "gateway/{b}/lead/message", {"kind": "question", "content": "How far?"}
    ),
    "agent_main_broadcast_lead_message": _post("gateway/leads/broadcast", {"content": "Freeze."}),
    "agent_inbox": _get("inbox"),
    # Nothing of it is read: who may is decided before.
    "agent_stream": _get("stream"),
    "agent_inbox_ack": _ack,
    "agent_board_task_claim": _on_a_task("post", "/claim"),
}

# For main, lead, worker, the lead of another board, and an agent of another organization.
ANY, ON_ANY, SEATED = (200,) * 5, (200, 200, 200, 403, 404), (403, 200, 200, 403, 404)
LEAD, MAIN = (403, 200, 403, 403, 404), (200, 403, 403, 403, 404)
EXPECTED: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(OPERATIONS, SEATED),
    "agent_auth_health": ANY,
    "agent_board_discovery": ANY,
    "agent_heartbeat": ANY,
    "agent_inbox": ANY,
    "agent_stream": ANY,
    # Four messages, for the four of the organization.
    "agent_inbox_ack": (200, 200, 200, 200, 404),
    "agent_board_lookup": ON_ANY,
    "agent_roster_discovery": ON_ANY,
    **dict.fromkeys(
        [
            "agent_lead_create_task",
            "agent_task_delete",
            "agent_lead_nudge_agent",
            "agent_lead_update_agent_soul",
            "agent_lead_delete_board_agent",
            "agent_lead_ask_user_via_gateway_main",
        ],
        LEAD,
    ),
    # It is of the lead's own board, whichever that is.
    "agent_lead_create_agent": (403, 200, 403, 200, 200),
    "agent_board_onboarding_update": MAIN,
    "agent_main_message_board_lead": MAIN,
    "agent_main_broadcast_lead_message": (200, 403, 403, 403, 403),
    "agent_board_task_claim": (403, 403, 200, 403, 404),
}
AGENTS = ("main", "lead", "worker", "other_lead", "stranger")
NO_AGENTS = {"nobody": 401, "revoked": 401, "expired": 401, "person": 403, "key": 403}


def _client(who: str, world: World) -> APIClient:
    if who in AGENTS:
        return with_token(getattr(world, who))
    if who == "person":
        return signed_in(make_member(world.organization).user)
    if who == "key":
        return api_client(make_key(world.organization)[1])
    client = APIClient()
    if who != "nobody":
        token, secret = create_token(world.worker, by=SYSTEM)
        field = {"revoked": "revoked_at", "expired": "expires_at"}[who]
        past = timezone.now() - timedelta(minutes=1)
        AgentToken.objects.filter(pk=token.pk).update(**{field: past})
        client.credentials(HTTP_X_AGENT_TOKEN=secret)
    return client


def test_the_table_has_every_operation() -> None:
    assert set(OPERATIONS) == set(HINTS)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_table_of_access(operation: str) -> None:
    expected = dict(zip(AGENTS, EXPECTED[operation], strict=True)) | NO_AGENTS
    answers = {}
    for who in expected:
        world = World()
        answer = OPERATIONS[operation](_client(who, world), world)
        answers[who] = answer.status_code
        if answer.status_code >= 400:
            assert answer["Content-Type"] == "application/problem+json"
    shown = " ".join(f"{who} {status}" for who, status in answers.items())
    sys.stdout.write(f"{operation:38} {shown}\n")
    assert answers == expected


def test_a_main_agent_without_a_gateway_is_told_so() -> None:
    world = World()
    world.main.gateway = None
    world.main.save()
    client = with_token(world.main)
    for path in ("boards", f"boards/{world.board.id}", "agents"):
        answer = client.get(f"{AGENT}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (403, "GATEWAY_MISSING")
    assert client.get(f"{AGENT}/healthz").json()["gateway_id"] is None


def test_an_unknown_board_is_not_there_for_anybody() -> None:
    world = World()
    for agent in (world.main, world.lead, world.worker):
        answer = with_token(agent).get(f"{AGENT}/boards/{uuid7()}")
        assert (answer.status_code, answer.json()["code"]) == (404, "BOARD_NOT_FOUND")
