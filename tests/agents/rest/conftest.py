"""Who calls in these tests, and the URLs they call."""

from typing import Any

import pytest
from django.test import Client

from agents.models import Agent, Membership, Organization, Role, User
from tests.agents.rest.callers import client_of, key_of


@pytest.fixture(autouse=True)
def _urls(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.agents.rest.urls"
    settings.ALLOWED_HOSTS = ["testserver", "127.0.0.1"]


@pytest.fixture
def organization(db: None) -> Organization:
    return Organization.objects.create(name="Acme", slug="acme")


@pytest.fixture
def agent(organization: Organization) -> Agent:
    return Agent.objects.create(organization=organization, name="Scribe", slug="scribe")


@pytest.fixture
def api(organization: Organization) -> Client:
    """An integration of the organization that may do everything."""
    return client_of(key_of(organization, role=Role.OWNER))


@pytest.fixture
def ann(organization: Organization) -> User:
    """A person who is an operator of the organization."""
    user = User.objects.create_user("ann", password="a")
    Membership.objects.create(organization=organization, user=user, role=Role.OPERATOR)
    return user
