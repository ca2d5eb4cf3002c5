"""Roles, scopes of keys and the organization decide what a caller may do and see."""

import pytest
from django.test import Client

from agents.models import Agent, Organization, Role, Scope
from tests.agents.rest.callers import client_of, key_of

BODY = {"name": "New", "slug": "new"}


def create(client: Client) -> int:
    return client.post("/api/v0/agents", BODY, "application/json").status_code


@pytest.mark.parametrize(
    ("role", "statuses"),
    [
        (Role.VIEWER, (200, 403, 403)),
        (Role.OPERATOR, (200, 201, 403)),
        (Role.ADMIN, (200, 201, 204)),
        (Role.OWNER, (200, 201, 204)),
    ],
)
def test_a_role_reaches_what_is_at_or_below_it(
    organization: Organization, agent: Agent, role: Role, statuses: tuple[int, int, int]
) -> None:
    client = client_of(key_of(organization, role=role))

    read = client.get("/api/v0/agents").status_code
    made = create(client)
    removed = client.delete(f"/api/v0/agents/{agent.id}").status_code

    assert (read, made, removed) == statuses


def test_a_refusal_names_both_roles(organization: Organization) -> None:
    client = client_of(key_of(organization, role=Role.VIEWER))

    answer = client.post("/api/v0/agents", BODY, "application/json").json()

    assert (answer["code"], answer["required"], answer["actual"]) == (
        "ROLE_TOO_LOW",
        "operator",
        "viewer",
    )


def test_scopes_narrow_a_key(organization: Organization) -> None:
    reader = client_of(key_of(organization, scopes=[Scope.READ]))
    editor = client_of(key_of(organization, scopes=[Scope.BOARDS]))

    refused = reader.post("/api/v0/agents", BODY, "application/json").json()

    assert (refused["code"], refused["required"]) == ("SCOPE_MISSING", "boards")
    assert create(editor) == 201
    assert editor.get("/api/v0/agents").json()["required"] == "read"


def test_what_a_view_forgets_to_declare_needs_the_admin_scope(
    organization: Organization, agent: Agent
) -> None:
    client = client_of(key_of(organization, role=Role.OWNER, scopes=[Scope.BOARDS, Scope.RUN]))

    answer = client.delete(f"/api/v0/agents/{agent.id}").json()

    assert answer["required"] == "admin"


def test_plain_views_ask_the_same(organization: Organization) -> None:
    client = client_of(key_of(organization, role=Role.VIEWER))

    answer = client.post("/api/v0/plain", {}, "application/json")

    assert (answer.status_code, answer.json()["code"]) == (403, "ROLE_TOO_LOW")


def test_what_another_organization_has_is_not_there(api: Client) -> None:
    beta = Organization.objects.create(name="Beta", slug="beta")
    other = Agent.objects.create(organization=beta, name="Spy", slug="spy")

    assert api.get("/api/v0/agents").json()["results"] == []
    assert api.get(f"/api/v0/agents/{other.id}").status_code == 404
    assert api.delete(f"/api/v0/agents/{other.id}").status_code == 404
    assert Agent.objects.filter(id=other.id).exists()
