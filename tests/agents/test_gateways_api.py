"""Gateways of an organization: who manages them, and what holds them to it."""

from __future__ import annotations

from ipaddress import ip_network

import pytest
from django.db import IntegrityError, connection
from standardwebhooks import Webhook

from agents.actions import create_gateway
from agents.activity import SYSTEM
from agents.models import Activity, Agent, Gateway, Role
from agents.signing import secrets_of
from tests.factories import API, client_of, make_agent, make_organization
from tests.receiver import LOOPBACK, receiver

pytestmark = pytest.mark.django_db


@pytest.fixture
def organization():
    return make_organization()


@pytest.fixture
def client(organization):
    return client_of(organization)


def test_a_gateway_is_created_changed_and_deleted(client) -> None:
    made = client.post(f"{API}/gateways", {"name": "Phone"})
    assert made.status_code == 201, made.content
    place = made["Location"]
    assert {**client.get(place).json(), "secret": None} == made.json()
    assert client.patch(place, {"is_enabled": False}).json()["is_enabled"] is False
    assert client.get(f"{API}/gateways", {"is_enabled": "true"}).json()["results"] == []
    assert client.delete(place).status_code == 204
    lines = Activity.objects.filter(type__startswith="gateway").order_by("id")
    assert [line.type for line in lines] == [
        "gateway.created",
        "gateway.updated",
        "gateway.deleted",
    ]


def test_names_are_taken_in_any_case(client) -> None:
    client.post(f"{API}/gateways", {"name": "Phone"})
    taken = client.post(f"{API}/gateways", {"name": "PHONE"})
    assert (taken.status_code, taken.json()["code"]) == (409, "GATEWAY_NAME_TAKEN")


def test_a_gateway_in_use_stays(organization, client) -> None:
    gateway = Gateway.objects.create(organization=organization, name="Phone")
    agent = make_agent(organization, gateway=gateway)
    answer = client.delete(f"{API}/gateways/{gateway.id}")
    assert (answer.status_code, answer.json()["agent_ids"]) == (409, [str(agent.id)])


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_only_admins_manage_gateways(organization, role) -> None:
    answer = client_of(organization, role).post(f"{API}/gateways", {"name": "Phone"})
    assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_TOO_LOW")


def test_a_gateway_of_another_organization_is_not_there(organization, client) -> None:
    foreign = Gateway.objects.create(organization=make_organization(), name="Phone")
    assert client.get(f"{API}/gateways/{foreign.id}").status_code == 404
    agent = make_agent(organization)
    answer = client.patch(f"{API}/agents/{agent.id}", {"gateway": str(foreign.id)})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "gateway")
    own = Gateway.objects.create(organization=organization, name="Own")
    answer = client.patch(f"{API}/agents/{agent.id}", {"gateway": str(own.id)})
    assert answer.json()["gateway"] == str(own.id)


def test_the_database_holds_gateway_and_agent_to_one_organization(organization) -> None:
    foreign = Gateway.objects.create(organization=make_organization(), name="Phone")
    agent = make_agent(organization)
    Agent.objects.filter(pk=agent.pk).update(gateway=foreign)
    with pytest.raises(IntegrityError, match="agent_gateway_of_its_own"):
        connection.check_constraints()


# --- webhooks ------------------------------------------------------------------------------------

HOOK = {"name": "Hook", "kind": "webhook", "url": "https://agents.example/hook"}


def test_the_secret_of_a_webhook_is_shown_once(organization, client) -> None:
    keyed = {"HTTP_IDEMPOTENCY_KEY": "once"}
    made = client.post(f"{API}/gateways", HOOK, **keyed)
    assert made.status_code == 201, made.content
    secret = made.json()["secret"]
    assert secret.startswith("whsec_")
    assert client.get(made["Location"]).json() == {
        name: value for name, value in made.json().items() if name != "secret"
    }
    assert "secret" not in client.post(f"{API}/gateways", HOOK, **keyed).json()
    assert secret not in str(Gateway.objects.values().get())
    assert secrets_of(Gateway.objects.get()) == [secret]


def test_its_secret_is_changed_and_the_old_one_signs_on(organization, client) -> None:
    made = client.post(f"{API}/gateways", HOOK)
    changed = client.post(f"{made['Location']}/rotate-secret")
    assert changed.status_code == 200, changed.content
    assert secrets_of(Gateway.objects.get()) == [changed.json()["secret"], made.json()["secret"]]
    assert Activity.objects.filter(type="gateway.secret_rotated").count() == 1
    inbox = client.post(f"{API}/gateways", {"name": "Inbox"})
    refused = client.post(f"{inbox['Location']}/rotate-secret")
    assert (refused.status_code, refused.json()["code"]) == (409, "GATEWAY_HAS_NO_SECRET")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"url": "ftp://agents.example"}, "VALIDATION_FAILED"),
        ({"url": "https://user:word@agents.example"}, "VALIDATION_FAILED"),
        ({"kind": "inbox"}, "GATEWAY_ADDRESS"),
        ({"kind": "pigeon"}, "VALIDATION_FAILED"),
    ],
)
def test_what_a_webhook_has_to_be(client, change, code) -> None:
    answer = client.post(f"{API}/gateways", {**HOOK, **change})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert not Gateway.objects.exists()


def test_a_webhook_needs_an_address_and_keeps_its_kind(client) -> None:
    lacks = client.post(f"{API}/gateways", {"name": "Hook", "kind": "webhook"})
    assert (lacks.status_code, lacks.json()["code"]) == (422, "GATEWAY_ADDRESS")
    place = client.post(f"{API}/gateways", HOOK)["Location"]
    answer = client.patch(place, {"kind": "inbox"})
    assert (answer.status_code, answer.json()["code"]) == (422, "GATEWAY_KIND_FIXED")
    moved = client.patch(place, {"url": "https://other.example:9443/in"})
    assert moved.json()["url"] == "https://other.example:9443/in"


def test_a_check_says_whether_the_other_side_answers(organization, client, settings) -> None:
    settings.DELIVERY_NETWORKS = [ip_network(LOOPBACK)]
    with receiver() as far:
        made = client.post(f"{API}/gateways", {**HOOK, "url": far.url})
        answers = client.post(f"{made['Location']}/check")
        assert answers.json() == {"ok": True, "problem": ""}
        (taken,) = far.taken
        told = Webhook(made.json()["secret"]).verify(taken.body, taken.headers)
        assert told["type"] == "gateway.check"
        far.manner = lambda taken: 500
        failed = client.post(f"{made['Location']}/check").json()
        assert (failed["ok"], failed["problem"]) == (False, "It answered 500.")
    inbox = client.post(f"{API}/gateways", {"name": "Inbox"})
    assert client.post(f"{inbox['Location']}/check").json()["ok"] is True


@pytest.mark.parametrize("action", ["check", "rotate-secret"])
def test_only_admins_of_its_organization_touch_a_webhook(organization, action) -> None:
    gateway = create_gateway(organization, HOOK, by=SYSTEM)
    place = f"{API}/gateways/{gateway.id}/{action}"
    assert client_of(organization, Role.OPERATOR).post(place).status_code == 403
    assert client_of(make_organization()).post(place).status_code == 404


def test_the_database_holds_an_address_to_webhooks(organization) -> None:
    with pytest.raises(IntegrityError, match="a_webhook_has_an_address"):
        Gateway.objects.create(organization=organization, name="Hook", kind="webhook")
