"""Who calls is found once, in one query, and a refusal says why with a code."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, AgentToken, IntegrationKey, Membership, Organization, Role, User
from tests.agents.rest.callers import client_of, key_of, token_of


def test_a_key_calls_for_its_organization(organization: Organization) -> None:
    answer = client_of(key_of(organization, name="ci")).get("/api/v0/echo")

    assert answer.status_code == 200
    expected = {"kind": "key", "name": "ci", "organization": "acme", "user": "ci"}
    assert answer.json() == expected


def test_a_person_calls_with_a_session(ann: User) -> None:
    client = Client()
    client.force_login(ann)

    answer = client.get("/api/v0/echo").json()

    assert (answer["kind"], answer["name"], answer["organization"]) == ("member", "ann", "acme")


def test_nobody_is_told_how_to_sign_in(db: None) -> None:
    answer = Client().get("/api/v0/echo")

    assert (answer.status_code, answer.json()["code"]) == (401, "NOT_AUTHENTICATED")
    assert answer.json()["detail"] == "Sign in, or send an integration key or an agent token."
    assert answer["WWW-Authenticate"] == 'Bearer realm="signalbox"'


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"expires_at": timezone.now() - timedelta(seconds=1)}, "TOKEN_EXPIRED"),
        ({"revoked_at": timezone.now()}, "TOKEN_REVOKED"),
    ],
)
def test_a_key_past_its_use_is_refused(
    organization: Organization, fields: dict[str, Any], code: str
) -> None:
    answer = client_of(key_of(organization, **fields)).get("/api/v0/echo")

    assert (answer.status_code, answer.json()["code"]) == (401, code)
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]


def test_a_key_past_its_use_is_merely_unknown_to_who_guesses(organization: Organization) -> None:
    secret = key_of(organization, revoked_at=timezone.now())

    answer = client_of(secret[:-4] + "AAAA").get("/api/v0/echo")

    assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_INVALID")


@pytest.mark.parametrize(
    "secret", ["", "nonsense", "sbk_x_y", "sbk_0123456789abcdef_\u00e9", "sbk__"]
)
def test_what_is_no_token_is_refused(db: None, secret: str) -> None:
    answer = client_of(secret or " ").get("/api/v0/echo")

    assert (answer.status_code, answer.json()["code"]) == (401, "TOKEN_INVALID")


def test_another_scheme_does_not_fall_back_to_the_session(ann: User) -> None:
    client = Client(headers={"Authorization": "Basic YTpi"})
    client.force_login(ann)

    assert client.get("/api/v0/echo").json()["code"] == "TOKEN_INVALID"


def test_a_token_is_found_in_one_query(organization: Organization) -> None:
    client = client_of(key_of(organization, last_used_at=timezone.now()))

    with CaptureQueriesContext(
        connection,
    ) as queries:
        client.get("/api/v0/echo")

    assert len(queries) == 1


def test_an_agents_token_is_found_in_one_query(agent: Agent) -> None:
    Agent.objects.update(last_seen_at=timezone.now())
    client = client_of(token_of(agent, last_used_at=timezone.now()))

    with CaptureQueriesContext(connection) as queries:
        client.get("/api/v0/anywhere")

    assert len(queries) == 1


def test_use_is_noted_once_a_minute(organization: Organization) -> None:
    client = client_of(key_of(organization))
    client.get("/api/v0/echo")
    first = IntegrationKey.objects.get().last_used_at
    client.get("/api/v0/echo")
    assert first is not None
    assert IntegrationKey.objects.get().last_used_at == first

    IntegrationKey.objects.update(last_used_at=first - timedelta(seconds=61))
    client.get("/api/v0/echo")

    assert IntegrationKey.objects.get().last_used_at > first


def test_an_agent_is_seen_every_30_seconds(agent: Agent) -> None:
    client = client_of(token_of(agent))
    client.get("/api/v0/anywhere")
    first = Agent.objects.get().last_seen_at
    assert first is not None
    Agent.objects.update(last_seen_at=first - timedelta(seconds=29))
    client.get("/api/v0/anywhere")
    assert Agent.objects.get().last_seen_at == first - timedelta(seconds=29)

    Agent.objects.update(last_seen_at=first - timedelta(seconds=31))
    client.get("/api/v0/anywhere")

    assert Agent.objects.get().last_seen_at > first
    assert Agent.objects.get().updated_at == agent.updated_at


@pytest.mark.parametrize("header", ["X-Agent-Token", "Authorization"])
def test_an_agent_is_pointed_to_its_own_api(agent: Agent, header: str) -> None:
    token = token_of(agent)
    value = token if header == "X-Agent-Token" else f"Bearer {token}"

    answer = Client(headers={header: value}).get("/api/v0/echo")

    assert answer.status_code == 403
    assert answer.json()["code"] == "AGENTS_NOT_ALLOWED"
    assert answer.json()["agent_api"] == "/api/v0/agent"


def test_a_key_in_the_agents_header_is_refused(organization: Organization) -> None:
    answer = Client(headers={"X-Agent-Token": key_of(organization)}).get("/api/v0/echo")

    assert answer.json()["code"] == "TOKEN_INVALID"


def test_a_persons_change_needs_the_csrf_token(ann: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    body = {"name": "a", "parts": []}

    refused = client.post("/api/v0/plain", body, "application/json")
    client.cookies["csrftoken"] = "a" * 32
    allowed = client.post(
        "/api/v0/plain", body, "application/json", headers={"X-CSRFToken": "a" * 32}
    )

    assert (refused.status_code, refused.json()["code"]) == (403, "CSRF_FAILED")
    assert allowed.status_code == 200


def test_a_key_needs_no_csrf_token(organization: Organization) -> None:
    client = Client(
        enforce_csrf_checks=True, headers={"Authorization": f"Bearer {key_of(organization)}"}
    )

    assert client.post("/api/v0/plain", {}, "application/json").status_code == 200


def test_a_persons_form_is_refused_before_it_is_read(ann: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)

    answer = client.post("/api/v0/echo", {"name": "a"})

    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


def test_a_member_of_several_names_the_organization(ann: User) -> None:
    other = Organization.objects.create(name="Beta", slug="beta")
    Membership.objects.create(organization=other, user=ann, role=Role.VIEWER)
    Organization.objects.create(name="Gamma", slug="gamma")
    client = Client()
    client.force_login(ann)

    unnamed = client.get("/api/v0/echo")
    named = client.get("/api/v0/echo", headers={"X-Organization": "beta"})
    foreign = client.get("/api/v0/echo", headers={"X-Organization": "gamma"})
    unknown = client.get("/api/v0/echo", headers={"X-Organization": "delta"})
    anywhere = client.get("/api/v0/anywhere")

    assert (unnamed.status_code, unnamed.json()["code"]) == (400, "ORGANIZATION_REQUIRED")
    assert unnamed.json()["organizations"] == ["acme", "beta"]
    assert named.json()["organization"] == "beta"
    assert foreign.status_code == unknown.status_code == 404
    assert anywhere.json()["organization"] is None


def test_a_key_has_one_organization(organization: Organization) -> None:
    client = client_of(key_of(organization))
    Organization.objects.create(name="Beta", slug="beta")

    assert client.get("/api/v0/echo", headers={"X-Organization": "acme"}).status_code == 200
    assert client.get("/api/v0/echo", headers={"X-Organization": "beta"}).status_code == 404


def test_a_member_of_none_may_do_nothing(db: None) -> None:
    client = Client()
    client.force_login(User.objects.create_user("eve", password="e"))

    assert client.get("/api/v0/echo").json()["code"] == "NO_ORGANIZATION"
    assert client.get("/api/v0/anywhere").status_code == 200


def test_an_inactive_person_is_nobody(ann: User) -> None:
    client = Client()
    client.force_login(ann)
    User.objects.update(is_active=False)

    assert client.get("/api/v0/echo").status_code == 401


def test_a_public_view_asks_nobody(db: None) -> None:
    assert Client().get("/api/v0/public").json() == {"ok": True}


def test_tokens_of_a_removed_agent_are_gone(agent: Agent) -> None:
    client = client_of(token_of(agent))
    agent.delete()

    assert client.get("/api/v0/echo").json()["code"] == "TOKEN_INVALID"
    assert not AgentToken.objects.exists()
