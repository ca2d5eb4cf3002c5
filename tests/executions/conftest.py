"""Who calls the API of executions in these tests, and the agent that is asked."""

import importlib

import pytest
from rest_framework.test import APIClient

from agents.models import Agent, Organization, Role
from boards.agent_api.hints import Role as Part
from boards.agent_api.tool_operations import operations
from executions import queries
from tests.factories import client_of, make_agent, make_organization

ACTIONS = {
    "review": {
        "prompt": "Review {number}.",
        "input_schema": {
            "type": "object",
            "properties": {"number": {"type": "integer"}, "depth": {"type": "integer"}},
            "required": ["number"],
        },
    }
}


@pytest.fixture
def organization(db: None) -> Organization:
    return make_organization()


@pytest.fixture
def agent(organization: Organization) -> Agent:
    agent = make_agent(organization, actions=ACTIONS)
    Agent.objects.filter(pk=agent.pk).update(max_concurrency=None)
    agent.refresh_from_db()
    return agent


@pytest.fixture
def api(organization: Organization) -> APIClient:
    return client_of(organization, Role.OPERATOR)


@pytest.fixture(scope="session", autouse=True)
def _loaded_before_any_lease() -> None:
    """What a first run may wait for: not within a lease that lasts two seconds, unrenewed."""
    importlib.import_module("agents.runtime.pydantic_models")
    for role in Part:
        operations(role)


@pytest.fixture(autouse=True)
def _no_remembered_workers() -> None:
    queries.forget_live_workers()
