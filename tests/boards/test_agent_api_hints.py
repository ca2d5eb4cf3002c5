"""Every operation of the agent API tells a language model when to choose it, in few words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from boards.agent_api.hints import ACTORS, HINTS, Role
from boards.agent_api.schema import of_role

EXTENSIONS = (
    "x-llm-intent",
    "x-when-to-use",
    "x-when-not-to-use",
    "x-required-actor",
    "x-prerequisites",
    "x-side-effects",
    "x-negative-guidance",
    "x-routing-policy",
    "x-routing-policy-examples",
)
# By the number of the operation in the design.
INTENTS = {
    "agent_auth_health": "agent_auth_health",
    "agent_board_discovery": "agent_board_discovery",
    "agent_board_lookup": "agent_board_lookup",
    "agent_roster_discovery": "agent_roster_discovery",
    "agent_board_task_discovery": "agent_board_task_discovery",
    "agent_board_tag_discovery": "agent_board_tag_discovery",
    "agent_board_webhook_payload_read": "agent_board_webhook_payload_read",
    "agent_lead_create_task": "delegate_work",
    "agent_task_update": "agent_task_update",
    "agent_task_delete": "agent_task_delete",
    "agent_task_comment_discovery": "agent_task_comment_discovery",
    "agent_task_comment_create": "agent_task_comment_create",
    "agent_board_memory_discovery": "agent_board_memory_discovery",
    "agent_board_memory_record": "agent_board_memory_record",
    "agent_board_approval_discovery": "agent_board_approval_discovery",
    "agent_board_approval_request": "agent_board_approval_request",
    "agent_board_onboarding_update": "agent_board_onboarding_update",
    "agent_lead_create_agent": "agent_management",
    "agent_lead_nudge_agent": "agent_coordination",
    "agent_heartbeat": "agent_heartbeat",
    "agent_board_soul_lookup": "agent_board_soul_lookup",
    "agent_lead_update_agent_soul": "agent_knowledge_authoring",
    "agent_lead_delete_board_agent": "agent_lifecycle",
    "agent_lead_ask_user_via_gateway_main": "human_escalation",
    "agent_main_message_board_lead": "lead_direct_routing",
    "agent_main_broadcast_lead_message": "lead_broadcast",
}
# Of characters; each has the codes of every refusal there is, 3,500 of them.
BUDGET = {Role.MAIN: 62_000, Role.LEAD: 80_000, Role.WORKER: 62_000}


def operations(role: Role) -> Iterator[dict[str, Any]]:
    for methods in of_role(role)["paths"].values():
        yield from methods.values()


def test_every_operation_of_the_design_is_there() -> None:
    found = {each["operationId"]: each for role in Role for each in operations(role)}
    assert {name: found[name]["x-llm-intent"] for name in INTENTS} == INTENTS
    assert set(found) == set(HINTS)


@pytest.mark.parametrize("role", Role)
def test_no_operation_lacks_a_hint(role: Role) -> None:
    for operation in operations(role):
        for extension in EXTENSIONS:
            assert operation.get(extension), (operation["operationId"], extension)
        assert operation["x-required-actor"] in ACTORS
        assert f"agent-{role}" in operation["tags"]
        assert operation["security"] == [{"agentToken": []}]


@pytest.mark.parametrize("operation_id", HINTS)
def test_every_example_decides_for_something_that_exists(operation_id: str) -> None:
    known = {*HINTS, *(hint.intent for hint in HINTS.values())}
    assert set(HINTS[operation_id].examples.values()) <= known


@pytest.mark.parametrize("role", Role)
def test_the_schema_of_a_role_is_whole_and_small(role: Role) -> None:
    schema = of_role(role)
    text = json.dumps(schema)
    assert len(text) < BUDGET[role]
    components = schema["components"]
    for reference in _references(schema):
        kind, name = reference.removeprefix("#/components/").split("/")
        assert name in components[kind]
    for name in components["schemas"]:
        assert f'"#/components/schemas/{name}"' in text, f"nobody needs {name}"


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


@pytest.mark.parametrize(("role", "status"), [("worker", 200), ("boss", 422), ("", 422)])
def test_the_schema_is_asked_for_by_role(client: Any, role: str, status: int) -> None:
    assert client.get(f"/api/v0/agent/openapi.json?role={role}").status_code == status
