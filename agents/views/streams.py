"""The operators' streams of the permanent record: of the organization, and of one agent."""

from __future__ import annotations

from django.http import HttpRequest

from agents.models import Agent, Organization, Role, Scope
from agents.queries import find_agent
from agents.rest.authentication import authenticate
from agents.rest.permissions import check_may
from agents.rest.streams import streaming
from agents.watching import feed


def readable(request: HttpRequest) -> Organization:
    """The organization that the caller may read. Raises refusals."""
    caller = authenticate(request)
    check_may(caller, Role.VIEWER, Scope.READ)
    assert caller.organization is not None
    return caller.organization


def _organization(request: HttpRequest) -> feed.Scope:
    return feed.Scope(readable(request).id)


def _agent(request: HttpRequest, agent_id: str) -> feed.Scope:
    organization = readable(request)
    agent = find_agent(Agent.objects.filter(organization=organization), agent_id)
    return feed.Scope(organization.id, agent_id=agent.id)


stream_of_organization = streaming(
    _organization, operation_id="stream", summary="Stream the organization's record"
)
stream_of_agent = streaming(
    _agent, operation_id="agents_stream", summary="Stream the record of an agent"
)
