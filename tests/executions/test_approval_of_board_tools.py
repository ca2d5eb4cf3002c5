"""Patterns of approvals know a call of a board tool by its arguments, its ids and its board."""

from __future__ import annotations

from typing import Any

import pytest

from agents.runtime.tools import catalogue
from boards.agent_api.hints import TOOL_NAMES
from boards.models import Board, MemoryEntry, Task
from executions import tool_decisions
from executions.models import CallStatus, Status
from tests.boards.agents import World
from tests.executions.asking import refused
from tests.executions.board_tools import a_world, begun, configured
from tests.executions.carrying import drive
from tests.executions.holding import ADA, at, only_call
from tests.factories import API, client_of
from tests.starting import tool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> World:
    return a_world()


def pattern(name: str, **arguments: str) -> dict[str, Any]:
    return {"tool": name, "arguments": arguments}


# --- ids -----------------------------------------------------------------------------------------

SPELLINGS = {
    "upper case": str.upper,
    "braces": lambda text: f"{{{text}}}",
    "no dashes": lambda text: text.replace("-", ""),
    "urn": lambda text: f"urn:uuid:{text}",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_an_id_in_another_spelling_gets_past_no_pattern(world: World, spelling: str) -> None:
    task = world.task()
    lead = configured(
        world.lead, approval_required=[pattern("agent_task_delete", task_id=str(task.id))]
    )
    run = begun(lead, tool("agent_task_delete", task_id=SPELLINGS[spelling](str(task.id))))
    drive(run)
    call = only_call(run)
    assert (call.status, call.runs) == (CallStatus.ERROR, 0)
    assert f"is not how an id is written; write '{task.id}'" in call.output
    assert Task.objects.filter(pk=task.pk).exists()
    # In its own spelling it is asked of a person.
    run = begun(lead, tool("agent_task_delete", task_id=str(task.id)))
    drive(run)
    assert run.status == Status.WAITING


def test_ids_in_a_list_are_held_to_it_too(world: World) -> None:
    spelled = str(world.task().id).upper()
    run = begun(
        world.lead, tool("agent_lead_create_task", title="x", depends_on_task_ids=[spelled])
    )
    drive(run)
    assert "depends_on_task_ids.0: " in only_call(run).output
    assert only_call(run).status == CallStatus.ERROR


def test_a_person_who_edits_is_told_the_spelling(world: World) -> None:
    task = world.task()
    run = begun(
        configured(world.lead, approval_required=["agent_task_delete"]),
        tool("agent_task_delete", task_id=str(task.id)),
    )
    drive(run)
    place = at(only_call(run), "approve")
    answer = client_of(world.organization).post(
        place, {"arguments": {"task_id": str(task.id).upper()}}
    )
    (error,) = refused(answer, 422, "VALIDATION_FAILED")["errors"]
    assert f"write '{task.id}'" in error["detail"]


# --- the board -----------------------------------------------------------------------------------


@pytest.mark.parametrize("is_this_board", [True, False])
@pytest.mark.parametrize("name", ["agent_board_memory_record", "*"])
def test_a_pattern_of_the_board_holds_calls_that_leave_it_out(
    world: World, name: str, *, is_this_board: bool
) -> None:
    board: Board = world.board if is_this_board else world.other_board
    worker = configured(world.worker, approval_required=[pattern(name, board_id=str(board.id))])
    run = begun(worker, tool("agent_board_memory_record", content="Barn owls."))
    drive(run)
    assert run.status == (Status.WAITING if is_this_board else Status.COMPLETED)
    if is_this_board:
        assert only_call(run).arguments == {"content": "Barn owls."}
        tool_decisions.approve(only_call(run), by=ADA)
        drive(run)
    assert only_call(run).status == CallStatus.COMPLETE
    assert MemoryEntry.objects.get().board_id == world.board.id


def test_a_pattern_of_the_board_knows_operations_whose_path_has_none(world: World) -> None:
    entry = pattern("agent_lead_create_agent", board_id=str(world.board.id))
    lead = configured(world.lead, approval_required=[entry])
    run = begun(lead, tool("agent_lead_create_agent", name="Tess"))
    drive(run)
    assert run.status == Status.WAITING


def test_a_pattern_of_the_board_holds_calls_that_name_it(world: World) -> None:
    entry = pattern("agent_board_lookup", board_id=str(world.board.id))
    main = configured(world.main, approval_required=[entry])
    run = begun(main, tool("agent_board_lookup", board_id=str(world.board.id)))
    drive(run)
    assert run.status == Status.WAITING


# --- as they are saved ---------------------------------------------------------------------------


@pytest.fixture(params=["agents", "boards"])
def save(request: pytest.FixtureRequest, world: World) -> Any:
    admin = client_of(world.organization)
    return lambda entry: admin.post(
        f"{API}/{request.param}", {"name": "One", "approval_required": [entry]}
    )


@pytest.mark.parametrize(
    "entry",
    [
        pattern("agent_task_update", task_id="*", status="done"),
        # Of a lead's, and of a worker's alone.
        pattern("agent_task_update", assigned_agent_id="*"),
        pattern("agent_task_update", comment="*"),
        pattern("agent_lead_create_agent", board_id="x"),
        pattern("*", task_id="x"),
        pattern("*", command="x"),
    ],
)
def test_arguments_of_board_tools_are_taken(save: Any, entry: dict[str, Any]) -> None:
    assert save(entry).status_code == 201


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (pattern("agent_task_update", task="x"), "agent_task_update has no argument 'task'; valid"),
        (pattern("agent_task_delete", title="x"), "valid: board_id, task_id."),
        (pattern("agent_auth_health", board_id="x"), "valid: none."),
        (pattern("*", comand="x"), "* has no argument 'comand'; valid: "),
    ],
)
def test_arguments_that_no_call_has_are_refused(
    save: Any, entry: dict[str, Any], said: str
) -> None:
    (error,) = refused(save(entry), 422, "VALIDATION_FAILED")["errors"]
    assert error["field"].startswith("approval_required")
    assert said in error["detail"]


def test_every_board_tool_tells_its_arguments() -> None:
    for name in TOOL_NAMES:
        assert isinstance(catalogue.arguments_of(name), frozenset)
    assert "board_id" in catalogue.arguments_of("agent_roster_discovery")
