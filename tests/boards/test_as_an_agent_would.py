"""An agent that knows its token and the schema of its role finds its way through a task."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.actions import create_token
from agents.activity import SYSTEM
from agents.models import ActorKind
from agents.rest.authentication import Actor
from boards.actions.approvals import decide_approval
from boards.models import Approval, Task
from tests.boards.agents import World
from tests.factories import make_member

pytestmark = pytest.mark.django_db


class SchemaReader:
    """Calls operations by their id, with nothing but what the schema says."""

    def __init__(self, token: str, role: str) -> None:
        self._client = APIClient()
        schema = self._client.get(f"/api/v0/agent/openapi.json?role={role}").json()
        self._header = schema["components"]["securitySchemes"]["agentToken"]["name"]
        self._token = token
        self._operations = {
            operation["operationId"]: (method, path, operation)
            for path, methods in schema["paths"].items()
            for method, operation in methods.items()
        }

    def call(self, operation_id: str, body: Any = None, **parts: Any) -> Any:
        """The answer's body; parts are of the path, and of the query where it has them."""
        method, path, operation = self._operations[operation_id]
        named = {
            each["name"]: each["in"] for each in operation.get("parameters", []) if "name" in each
        }
        assert set(parts) <= named.keys(), f"the schema knows no {set(parts) - named.keys()}"
        query = {name: str(value) for name, value in parts.items() if named[name] == "query"}
        address = path.format(**{name: parts[name] for name in parts if named[name] == "path"})
        if query:
            address += "?" + "&".join(f"{name}={value}" for name, value in query.items())
        answer = getattr(self._client, method)(address, body, headers={self._header: self._token})
        assert str(answer.status_code) in operation["responses"], answer.content
        assert answer.status_code == 200, answer.content
        return answer.json()

    def choose(self, intent: str) -> str:
        """The operation that says that it is for this."""
        return next(
            operation_id
            for operation_id, (_, _, operation) in self._operations.items()
            if operation["x-llm-intent"] == intent
        )


def test_a_worker_finds_claims_reports_asks_and_hands_in() -> None:
    world = World()
    world.task(title="Count owls")
    _, token = create_token(world.worker, by=SYSTEM)
    agent = SchemaReader(token, "worker")

    me = agent.call(agent.choose("agent_auth_health"))
    board = {"board_id": me["board_id"]}
    found = agent.call(
        agent.choose("agent_board_task_discovery"), **board, status="inbox", unassigned="true"
    )
    task = {**board, "task_id": found["results"][0]["id"]}
    claimed = agent.call(agent.choose("agent_board_task_claim"), **task)
    assert (claimed["status"], claimed["assigned_agent_id"]) == ("in_progress", me["agent_id"])
    agent.call(agent.choose("agent_task_comment_create"), {"content": "Counted: 12."}, **task)
    asked = agent.call(
        agent.choose("agent_board_approval_request"),
        {"action_type": "finish", "reason": "All are counted.", "task_id": task["task_id"]},
        **board,
    )
    assert asked["status"] == "pending"
    handed = agent.call(agent.choose("agent_task_update"), {"status": "review"}, **task)
    assert (handed["status"], handed["handed_in_by"]) == ("review", me["agent_id"])

    person = make_member(world.organization, "operator").user
    by = Actor(ActorKind.MEMBER, person.id, "Olga")
    decide_approval(Approval.objects.get(), approve=True, reason="Good.", by=by)
    inbox = agent.call(agent.choose("agent_inbox"))["results"]
    assert [each["kind"] for each in inbox] == ["decision"]
    agent.call(agent.choose("agent_inbox_ack"), message_id=inbox[0]["id"])
    assert agent.call(agent.choose("agent_inbox"))["results"] == []
    assert Task.objects.get().status == "review"
