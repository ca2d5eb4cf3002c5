"""Board tools by themselves: their schemas, their one door, what a call asks of the database."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.db import OperationalError, connection
from jsonschema import Draft202012Validator
from uuid_utils.compat import uuid7

from agents.models import Agent
from agents.rest.authentication import Within
from agents.rest.in_process import Answer
from agents.runtime.tools.registry import (
    Interrupted,
    OutcomeUnknown,
    ToolError,
    Workspace,
)
from boards.agent_api import tool_operations, tool_schema, tools
from boards.agent_api.hints import Role
from boards.agent_api.tool_operations import operations
from boards.models import Comment, MemoryEntry, Seat, Task
from tests.boards.agents import World, with_token
from tests.factories import all_at_once, client_of, counted_queries

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> World:
    return World()


def test_two_workers_that_make_one_call_change_things_once(world: World) -> None:
    board_tool = _of(world.lead, "agent_board_memory_record")
    connection.close()

    def call() -> str:
        return board_tool.run({"content": "Barn owls."}, _workspace("call:1"))

    first, *others = map(json.loads, all_at_once(call, call, call))
    assert others == [first, first]
    assert MemoryEntry.objects.count() == 1


def test_who_meets_its_call_still_under_way_waits_and_can_be_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    board_tool = _of(world.lead, "agent_board_memory_record")
    busy = Answer(409, {"code": "IDEMPOTENCY_IN_FLIGHT", "detail": "It is under way."})
    answers = [busy, busy, Answer(200, {"ok": True})]
    monkeypatch.setattr(tools, "ask", lambda *_: answers.pop(0))
    monkeypatch.setattr(tools, "_PAUSE_SECONDS", 0)
    assert board_tool.run({"content": "x"}, _workspace("call:1")) == '{"ok":true}'
    monkeypatch.setattr(tools, "ask", lambda *_: busy)
    monkeypatch.setattr(tools, "PATIENCE_SECONDS", 0)
    with pytest.raises(OutcomeUnknown, match="Look before you repeat it"):
        board_tool.run({"content": "x"}, _workspace("call:1"))
    monkeypatch.undo()
    monkeypatch.setattr(tools, "ask", lambda *_: busy)
    workspace = _workspace("call:1")
    workspace.stop.set()  # type: ignore[attr-defined]  # An event.
    with pytest.raises(Interrupted):
        board_tool.run({"content": "x"}, workspace)


# --- what it costs -------------------------------------------------------------------------------


def test_a_call_asks_the_database_a_few_times_however_many_rows_there_are(world: World) -> None:
    board_tool = _of(world.worker, "agent_board_task_discovery")

    def queries() -> int:
        connection.close()
        with counted_queries() as counted:
            board_tool.run({}, _workspace())
        return len(counted)

    world.task()
    few = queries()
    for _ in range(15):
        world.task(assigned_agent=world.worker)
    assert queries() == few
    assert few < 12


# --- what models are told ------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_every_tool_has_a_schema_that_is_whole_in_itself(role: Role) -> None:
    for each in operations(role):
        Draft202012Validator.check_schema(each.parameters)
        text = json.dumps(each.parameters)
        assert "$ref" not in text
        assert each.parameters["type"] == "object"
        assert each.parameters["additionalProperties"] is False
        assert not {"oneOf", "anyOf", "allOf", "enum", "not"} & each.parameters.keys()
        assert ("board_id" in each.parameters["required"]) == (
            role is Role.MAIN and "board_id" in each.in_path
        )
        assert re.fullmatch("[a-zA-Z0-9_-]{1,64}", each.name)
        assert len(each.description) < 1000


@pytest.mark.parametrize("role", Role)
def test_every_id_that_a_model_gives_is_held_to_one_spelling(role: Role) -> None:
    for each in operations(role):
        for name, schema in each.parameters["properties"].items():
            if name.endswith(("_id", "_ids")) and name != "correlation_id":
                assert schema.get("items", schema)["format"] == "uuid", (each.name, name)


# --- one door ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/api/v0/boards/{board_id}"),
        ("patch", "/api/v0/boards/{board_id}/approvals/{approval_id}"),
        ("get", "/api/v0/agent/inbox"),
        ("delete", "/api/v0/agent/boards/{board_id}/tasks/{task_id}"),
    ],
)
def test_nothing_but_its_own_operation_can_be_a_tool(method: str, path: str) -> None:
    with pytest.raises(TypeError):
        tool_operations._view("agent_board_lookup", path, method, re.findall(r"{(\w+)}", path))


def test_no_header_says_who_calls(world: World) -> None:
    answer = client_of(world.organization).get(
        f"{world.home}/tasks", headers={"_signalbox_caller": str(world.lead.id)}
    )
    assert answer.json()["code"] == "AGENTS_ONLY"


def test_the_agent_is_seen_by_its_token_alone(world: World) -> None:
    _of(world.lead, "agent_auth_health").run({}, _workspace())
    world.lead.refresh_from_db()
    assert world.lead.last_seen_at is None


# --- the database --------------------------------------------------------------------------------


def test_a_call_gives_its_connection_back(world: World) -> None:
    found, missed = _of(world.lead, "agent_board_lookup"), _of(world.lead, "agent_task_delete")
    found.run({}, _workspace())
    assert connection.connection is None
    with pytest.raises(ToolError, match="NOT_FOUND"):
        missed.run({"task_id": str(UUID(int=1))}, _workspace())
    assert connection.connection is None


def test_a_database_that_comes_back_is_asked_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    board_tool, ask, down = _of(world.lead, "agent_board_memory_record"), tools.ask, [1, 2]

    def asked(*arguments: Any) -> Answer:
        if down:
            down.pop()
            raise OperationalError("the server closed the connection unexpectedly")
        return ask(*arguments)

    monkeypatch.setattr(tools, "ask", asked)
    monkeypatch.setattr(tools, "_PAUSE_SECONDS", 0)
    assert json.loads(board_tool.run({"content": "Owls."}, _workspace("call:1")))["id"]
    down += [1]
    monkeypatch.setattr(tools, "PATIENCE_SECONDS", -1)
    with pytest.raises(OutcomeUnknown, match="DEPENDENCY_UNAVAILABLE"):
        board_tool.run({"content": "Owls."}, _workspace("call:2"))
    down += [1]
    with pytest.raises(ToolError, match="DEPENDENCY_UNAVAILABLE"):
        _of(world.lead, "agent_board_lookup").run({}, _workspace())


# --- once with a key, over HTTP too --------------------------------------------------------------


def test_every_change_of_the_agent_api_is_made_once_with_a_key(world: World) -> None:
    worker, lead = with_token(world.worker), with_token(world.lead)
    task, key = world.task(), {"Idempotency-Key": "k"}
    at = f"{world.home}/tasks/{task.id}"
    first, again = (worker.patch(at, {"comment": "On it."}, headers=key).json() for _ in range(2))
    assert first == again
    assert Comment.objects.count() == 1
    for _ in range(2):
        assert lead.delete(at, headers=key).json() == {"ok": True}
    assert not Task.objects.exists()
    # Without one, and with another, it is another request.
    assert (
        lead.delete(at).status_code
        == lead.delete(at, headers={"Idempotency-Key": "l"}).status_code
        == 404
    )


# --- schemas -------------------------------------------------------------------------------------


def test_a_schema_that_contains_itself_is_refused() -> None:
    reference = {"$ref": "#/components/schemas/A"}
    with pytest.raises(ValueError, match="contains itself"):
        tool_schema.inlined(reference, {"schemas": {"A": {"items": reference}}})


def test_a_name_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        tool_schema.joined({"id": {}}, {"id": {}}, required=[])


def _of(agent: Agent, name: str) -> tools.BoardTool:
    seat = Seat.objects.filter(agent=agent).first()
    within = Within(uuid7(), seat.board_id if seat else None)
    made = tools.tools_of(agent.id, ["*"], within=within)
    return next(each for each in made.tools if each.name == name)


def _workspace(key: str = "") -> Workspace:
    return Workspace(root=Path("/nonexistent"), call_key=key)
