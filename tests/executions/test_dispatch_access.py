"""Who may call the dispatch API: integration keys with its scope, in their own organization."""

from __future__ import annotations

from uuid import uuid4

import pytest

from agents.models import Organization, Role
from executions.models import Event
from tests.boards.agents import with_token
from tests.executions.asking import refused
from tests.executions.polling import BASE, ByHand, a_remote_agent, a_remote_run, poll, worker_client
from tests.factories import api_client, client_of, make_member, signed_in
from tests.starting import a_run, an_agent, an_organization

pytestmark = pytest.mark.django_db(transaction=True)

# Every call of a claim, with a body that it takes.
CALLS = {
    "heartbeat": {},
    "release": {"as": "yielded"},
    "entries": {"entries": [{"text": "x"}]},
    "checkpoints": {"sequence": 1, "state": {}},
    "jobs": {"jobs": [{"key": "a", "kind": "echo"}]},
    "complete": {"output": 1},
    "fail": {"message": "x"},
    "suspend": {"conditions": [{"kind": "timer", "seconds": 60}]},
    "signals/consume": {"name": "x"},
    "stream": {"pieces": [{"kind": "token", "text": "x"}]},
}
LOOKS = ["entries", "checkpoint", "signals/name"]


@pytest.fixture
def organization() -> Organization:
    return an_organization()


@pytest.fixture
def claimed(organization: Organization) -> ByHand:
    a_remote_run(a_remote_agent(organization))
    return ByHand(worker_client(organization))


def every_call(claimed: ByHand):
    for call, body in CALLS.items():
        yield claimed.send(call, **body)
    for look in LOOKS:
        yield claimed.get(look)


def test_a_key_without_the_scope_is_refused(organization: Organization, claimed: ByHand) -> None:
    claimed.client = client_of(organization, Role.OWNER, "run", "read", "admin")
    for answer in every_call(claimed):
        refused(answer, 403, "SCOPE_MISSING")
    refused(poll(claimed.client), 403, "SCOPE_MISSING")


def test_a_viewers_key_is_refused(organization: Organization, claimed: ByHand) -> None:
    claimed.client = client_of(organization, Role.VIEWER, "dispatch")
    for answer in every_call(claimed):
        refused(answer, 403, "ROLE_TOO_LOW")
    refused(poll(claimed.client), 403, "ROLE_TOO_LOW")


def test_a_person_is_refused(organization: Organization, claimed: ByHand) -> None:
    claimed.client = signed_in(make_member(organization).user)
    for answer in every_call(claimed):
        refused(answer, 403, "INTEGRATION_KEY_REQUIRED")
    refused(poll(claimed.client), 403, "INTEGRATION_KEY_REQUIRED")


def test_an_agent_and_nobody_are_refused(organization: Organization, claimed: ByHand) -> None:
    claimed.client = with_token(an_agent(organization))
    for answer in every_call(claimed):
        refused(answer, 403, "AGENTS_NOT_ALLOWED")
    claimed.client = api_client()
    for answer in every_call(claimed):
        assert answer.status_code == 401
    assert poll(claimed.client).status_code == 401


def test_a_key_of_another_organization_finds_nothing(claimed: ByHand) -> None:
    claimed.client = worker_client(an_organization())
    before = Event.objects.count()
    for answer in every_call(claimed):
        refused(answer, 404, "NOT_FOUND")
    assert Event.objects.count() == before
    assert claimed.row.status == "running"


def test_it_polls_for_its_own_organization_only(organization: Organization) -> None:
    a_remote_run(a_remote_agent(organization))
    assert poll(worker_client(an_organization())).status_code == 204
    assert poll(worker_client(organization)).status_code == 200


def test_what_signalbox_runs_itself_is_not_there(organization: Organization) -> None:
    run = a_run(an_agent(organization), {"say": "x"})
    client = worker_client(organization)
    assert poll(client, kinds=["remote"]).status_code == 204
    refused(poll(client, kinds=["react"]), 422, "VALIDATION_FAILED")
    body = {"epoch": run.epoch}
    refused(client.post(f"{BASE}/{run.id}/heartbeat", body), 404, "NOT_FOUND")
    refused(client.post(f"{BASE}/{uuid4()}/heartbeat", body), 404, "NOT_FOUND")
