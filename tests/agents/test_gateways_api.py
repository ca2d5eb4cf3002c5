"""Gateways of an organization: who manages them, and what holds them to it."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connection

from agents.models import Activity, Agent, Gateway, Role
from tests.factories import API, client_of, make_agent, make_organization

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
    assert client.get(place).json() == made.json()
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
