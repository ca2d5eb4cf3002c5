"""Operators make webhooks, give them secrets and read what they brought."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.models import Activity, Agent, Role
from boards.models import PayloadState, Webhook, WebhookPayload
from executions.models import Execution
from tests.boards.agents import World
from tests.boards.hooks import BODY, SECRET, deliver, github, make_hook
from tests.factories import API, client_of, counted_queries, make_agent, make_organization

pytestmark = pytest.mark.django_db


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> APIClient:
    return client_of(world.organization)


def home(world: World) -> str:
    return f"{API}/boards/{world.board.id}/webhooks"


def create(client: APIClient, world: World, **fields: Any) -> Any:
    return client.post(home(world), {"name": "GitHub", **fields})


def test_a_secret_is_made_and_shown_once(client: APIClient, world: World) -> None:
    made = create(client, world)

    assert made.status_code == 201
    told = made.json()
    assert (told["secret"][:6], told["is_signed"]) == ("whsec_", True)
    assert told["url"] == f"{API}/hooks/{told['id']}"
    assert deliver(told["id"], BODY, github(BODY, told["secret"])).status_code == 202
    read = client.get(made.headers["Location"])
    listed = client.get(home(world))
    changed = client.patch(made.headers["Location"], {"name": "Another"})
    for answer in (read, listed, changed):
        assert answer.status_code == 200
        assert "secret" not in answer.json()
        assert told["secret"] not in answer.content.decode()
    row = Webhook.objects.get(pk=told["id"])
    assert told["secret"] not in str(vars(row))


def test_a_replayed_answer_has_no_secret(client: APIClient, world: World) -> None:
    key = {"headers": {"Idempotency-Key": "k"}}
    first = client.post(home(world), {"name": "GitHub"}, **key)
    again = client.post(home(world), {"name": "GitHub"}, **key)

    assert "secret" in first.json()
    assert {**again.json(), "secret": first.json()["secret"]} == first.json()
    assert "secret" not in again.json()


def test_a_secret_may_be_given(client: APIClient, world: World) -> None:
    told = create(client, world, secret="of the other side".replace(" ", "-")).json()

    assert deliver(told["id"], BODY, github(BODY, "of-the-other-side")).status_code == 202


@pytest.mark.parametrize(
    "secret",
    [
        "short",
        "with spaces in between",
        "whsec_not base64!!",
        "whsec_" + "=" * 20,
        "whsec_AAAAAAAAAAAA",
        "é" * 20,
    ],
)
def test_a_secret_that_guards_nothing_is_refused(
    client: APIClient, world: World, secret: str
) -> None:
    assert create(client, world, secret=secret).status_code == 422


def test_without_signatures_there_is_no_secret(client: APIClient, world: World) -> None:
    told = create(client, world, is_signed=False).json()

    assert "secret" not in told
    assert told["is_signed"] is False
    assert deliver(told["id"]).status_code == 202


def test_a_secret_is_changed(client: APIClient, world: World) -> None:
    hook = make_hook(world.board)
    where = f"{home(world)}/{hook.id}/rotate-secret"

    made = client.post(where, {}).json()["secret"]
    given = client.post(where, {"secret": SECRET, "keep_old": False})

    assert given.json()["secret"] == SECRET
    assert deliver(hook, BODY, github(BODY, made)).status_code == 403
    assert deliver(hook, BODY, github(BODY, SECRET)).status_code == 202
    unsigned = make_hook(world.board, is_signed=False, secret="")
    client.post(f"{home(world)}/{unsigned.id}/rotate-secret", {})
    assert deliver(unsigned).status_code == 403
    assert Activity.objects.filter(type="webhook.secret_rotated").count() == 3


def test_the_secret_is_changed_in_no_other_way(client: APIClient, world: World) -> None:
    where = f"{home(world)}/{make_hook(world.board).id}"

    assert client.patch(where, {"secret": SECRET}).status_code == 422
    client.patch(where, {"is_signed": False})
    assert Webhook.objects.get(name="From outside", sealed_secret__gt="").is_signed


def test_who_is_told_and_started_is_of_the_house(client: APIClient, world: World) -> None:
    other = make_agent(make_organization())
    start = {"agent": str(world.worker.id), "prompt": "Sort {{ payload }}."}

    made = create(client, world, agent=str(world.worker.id), start=start)
    assert made.status_code == 201
    assert (made.json()["agent"], made.json()["start"]) == (str(world.worker.id), start)
    assert client.patch(made.headers["Location"], {"start": None}).json()["start"] is None
    assert create(client, world, agent=str(other.id)).status_code == 422
    assert create(client, world, start={**start, "agent": str(other.id)}).status_code == 422
    elsewhere = create(client, world, agent=str(world.other_lead.id))
    assert elsewhere.json()["code"] == "WEBHOOK_AGENT_ELSEWHERE"


@pytest.mark.parametrize(
    "fields",
    [
        {"start": {"prompt": "x"}},
        {"start": {"agent": None}},
        {"signature_header": "a b"},
        {"delivery_header": "x\r\ny"},
        {"surprise": 1},
    ],
)
def test_what_cannot_be_is_refused(client: APIClient, world: World, fields: Any) -> None:
    assert create(client, world, **fields).status_code == 422


def test_an_unknown_placeholder_is_named(client: APIClient, world: World) -> None:
    start = {"agent": str(world.worker.id), "prompt": "Sort {{ paylod }}."}

    (error,) = create(client, world, start=start).json()["errors"]
    assert (error["field"], error["code"]) == ("start.prompt", "unknown_placeholder")
    assert "paylod" in error["detail"]


def test_only_administrators_change_webhooks(world: World) -> None:
    hook = make_hook(world.board)
    operator = client_of(world.organization, Role.OPERATOR)

    assert operator.get(f"{home(world)}/{hook.id}").status_code == 200
    assert create(operator, world).status_code == 403
    assert operator.post(f"{home(world)}/{hook.id}/rotate-secret", {}).status_code == 403
    stranger = client_of(make_organization())
    assert stranger.get(f"{home(world)}/{hook.id}").status_code == 404
    assert stranger.get(f"{home(world)}/{hook.id}/payloads").status_code == 404


def test_payloads_are_listed_without_and_read_with_their_bodies(
    client: APIClient, world: World
) -> None:
    hook = make_hook(world.board)
    large = b"\xff" * 1_000_000
    deliver(hook, BODY, github(BODY, delivery="1"))
    deliver(hook, large, github(large, delivery="2"))

    page = client.get(f"{home(world)}/{hook.id}/payloads").json()["results"]

    assert [(each["size"], each["encoding"]) for each in page] == [
        (1_000_000, "base64"),
        (len(BODY), "utf-8"),
    ]
    assert "body" not in page[0]
    where = f"{home(world)}/{hook.id}/payloads/{page[1]['id']}"
    assert client.get(where).json()["body"] == BODY.decode()
    assert client.get(f"{home(world)}/{hook.id}/payloads?state=failed").json()["results"] == []
    other = make_hook(world.board)
    assert client.get(f"{home(world)}/{other.id}/payloads/{page[1]['id']}").status_code == 404


def test_lists_cost_the_same_however_long(client: APIClient, world: World) -> None:
    hook = make_hook(world.board)
    counts = []
    for number in range(3):
        deliver(hook, BODY, github(BODY, delivery=str(number)))
        make_hook(world.board, agent=world.worker)
        with counted_queries() as queries:
            client.get(f"{home(world)}/{hook.id}/payloads")
            client.get(home(world))
        counts.append(len(queries))
    assert counts[1] == counts[2]


def test_a_payload_is_started_by_hand(client: APIClient, world: World) -> None:
    hook = make_hook(world.board, start_agent=world.worker, start_prompt="Sort {{ payload }}.")
    Agent.objects.filter(pk=world.worker.pk).update(is_paused=True)
    key = deliver(hook, BODY, github(BODY)).json()["payload_id"]
    where = f"{home(world)}/{hook.id}/payloads/{key}"

    waiting = client.get(where).json()
    assert (waiting["state"], "paused" in waiting["problem"]) == (PayloadState.WAITING, True)
    assert client.post(f"{where}/start").json()["code"] == "AGENT_PAUSED"
    Agent.objects.filter(pk=world.worker.pk).update(is_paused=False)
    started = client.post(f"{where}/start")
    assert started.status_code == 200
    assert Execution.objects.filter(pk=started.json()["execution"]).exists()
    again = client.post(f"{where}/start", headers={"Idempotency-Key": "another"})
    assert (again.status_code, again.json()["code"]) == (409, "PAYLOAD_STARTED")


def test_the_schema_has_the_door_without_authentication(client: APIClient) -> None:
    schema = client.get(f"{API}/schema/", {"format": "json"}).json()
    door = schema["paths"][f"{API}/hooks/{{webhook_id}}"]["post"]

    assert door["operationId"] == "hooks_receive"
    assert door.get("security", []) in ([], [{}])
    assert {"200", "202", "400", "403", "404", "410", "413", "429", "503"} <= set(door["responses"])
    assert "Idempotency-Key" not in {each["name"] for each in door["parameters"]}


def test_a_webhook_goes_with_what_it_brought(client: APIClient, world: World) -> None:
    hook = make_hook(world.board)
    deliver(hook, BODY, github(BODY))

    assert client.delete(f"{home(world)}/{hook.id}").status_code == 204
    assert not WebhookPayload.objects.filter(webhook=hook.id).exists()
    assert deliver(str(hook.id), BODY, github(BODY)).status_code == 404
