"""The examples on a real worker process, over REST: each ends as it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.models import Organization, Role
from executions.models import Execution, Status
from tests.executions.asking import url
from tests.executions.kinds import MODULES, an_agent_of
from tests.factories import API, client_of
from tests.processes import WorkerProcess, wait_until, worker
from tests.starting import an_organization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization() -> Organization:
    return an_organization()


@pytest.fixture
def api(organization: Organization) -> APIClient:
    return client_of(organization, Role.OPERATOR)


@pytest.fixture(autouse=True)
def _worker() -> Iterator[WorkerProcess]:
    with worker(queues="executions,jobs,default", SIGNALBOX_MODULES=MODULES) as process:
        yield process


def test_each_ends_with_its_output(api: APIClient, organization: Organization) -> None:
    for kind, values, output in (
        ("echo", {"text": "hello"}, {"text": "hello"}),
        # These wait for their own jobs and children, and so does who waits for them.
        ("pipeline", {"texts": ["one two", "three"]}, {"words": 3}),
        ("map_reduce", {"numbers": [1, 2, 3, 4, 5], "share": 2}, {"sum": 15}),
        ("streaming", {"lines": ["a b", "c"]}, "a b\nc"),
        ("checkpoints", {"to": 3}, {"total": 6}),
    ):
        agent = an_agent_of(f"example.{kind}", organization=organization)
        answer = api.post(url(agent), {"with": values, "timeout": 30})
        assert answer.status_code == 200, (kind, answer.content)
        body = answer.json()
        assert (body["status"], body["output"]) == ("completed", output), kind


def test_who_waits_for_a_conversation_is_told_that_it_waits(
    api: APIClient, organization: Organization
) -> None:
    agent = an_agent_of("example.conversation", organization=organization)
    answer: Any = api.post(url(agent), {"with": {}, "timeout": 30})
    assert (answer.status_code, answer.json()["status"]) == (202, "waiting")
    where = f"{API}/executions/agents/{answer.json()['exec_id']}"
    for said in ("hello", "goodbye"):
        assert api.post(f"{where}/signals", {"name": "say", "value": said}).status_code == 202
    wait_until(lambda: Execution.objects.get().status == Status.COMPLETED)
    assert api.get(where).json()["output"] == {"turns": 2, "last": "goodbye"}
