"""Board tools act on the board of their run, wherever the agent has its seat by now."""

from __future__ import annotations

from typing import Any

import pytest

from agents.activity import SYSTEM
from agents.models import Agent
from boards.actions.seats import seat_agent
from boards.models import Board, MemoryEntry, Seat
from executions import tool_decisions
from executions.engine import claim as claims
from executions.engine.conversation import Conversation
from executions.models import CallStatus, Entry, Execution, Status, ToolCall
from tests.boards.agents import World
from tests.executions.board_tools import a_world, answered, begun, configured, played
from tests.executions.carrying import drive
from tests.executions.holding import ADA, lose_worker, only_call
from tests.executions.kinds import told
from tests.starting import tool

pytestmark = pytest.mark.django_db(transaction=True)

RECORD = tool("agent_board_memory_record", content="Barn owls.")


@pytest.fixture
def world() -> World:
    return a_world()


def move(agent: Agent, board: Board) -> None:
    Seat.objects.filter(agent=agent).delete()
    seat_agent(board, agent, by=SYSTEM)


def heard(run: Execution) -> str:
    """What the model was told of the last call."""
    results = Entry.objects.filter(execution=run, type="tool_result")
    return str(results.latest("position").content["text"])


@pytest.mark.parametrize("turn", [RECORD, tool("agent_board_memory_discovery")])
def test_what_was_approved_for_one_board_is_not_done_on_another(
    world: World, turn: dict[str, Any]
) -> None:
    run = begun(configured(world.worker, approval_required=["*"]), turn)
    drive(run)
    assert run.status == Status.WAITING
    move(world.worker, world.other_board)
    tool_decisions.approve(only_call(run), by=ADA)
    drive(run)
    assert run.status == Status.COMPLETED
    call = only_call(run)
    assert (call.status, call.runs) == (CallStatus.DENIED, 0)
    assert "this run is on another board" in heard(run)
    assert not MemoryEntry.objects.exists()


def test_what_cannot_be_done_on_its_board_is_asked_of_nobody(world: World) -> None:
    run = begun(
        configured(world.worker, approval_required=["*"]),
        RECORD,
        tool("agent_board_lookup"),
        board=None,
    )
    drive(run)
    assert run.status == Status.COMPLETED
    for call in ToolCall.objects.filter(execution=run):
        assert (call.status, call.needs_approval, call.runs) == (CallStatus.DENIED, False, 0)
        assert f"{call.name} cannot be used here: this run has no board" in call.output
    assert "approval.requested" not in told(run)


@pytest.mark.parametrize("elsewhere", ["another board", "no board"])
def test_a_run_elsewhere_reads_the_board_of_its_seat_and_changes_nothing(
    world: World, elsewhere: str
) -> None:
    board = world.other_board if elsewhere == "another board" else None
    health, lookup, *changes = played(
        world.lead,
        tool("agent_auth_health"),
        tool("agent_board_lookup"),
        RECORD,
        tool("agent_lead_create_agent", name="Tess"),
        board=board,
    )
    assert answered(health)["board_id"] == str(world.board.id)
    assert answered(lookup)["name"] == "Owls"
    assert [call.status for call in changes] == [CallStatus.DENIED] * 2
    assert elsewhere in changes[0].output
    assert not MemoryEntry.objects.exists()
    assert not Agent.objects.filter(name="Tess").exists()


def test_who_is_moved_in_the_middle_of_a_run_changes_nothing_on_the_new_board(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose path names no board, and whose path names that of the run."""
    start = claims.start_call

    def moved(*arguments: Any, **more: Any) -> int:
        seq = start(*arguments, **more)
        Seat.objects.filter(agent=world.other_lead).delete()
        Seat.objects.filter(agent=world.lead).update(board=world.other_board)
        return seq

    monkeypatch.setattr(claims, "start_call", moved)
    calls = played(world.lead, tool("agent_lead_create_agent", name="Tess"), RECORD)
    for call in calls:
        assert (call.status, call.output.partition(":")[0]) == (CallStatus.DENIED, "OTHER_BOARD")
    assert not Agent.objects.filter(name="Tess").exists()
    assert not MemoryEntry.objects.exists()


def test_who_has_no_seat_names_the_board_whatever_board_the_run_is_on(world: World) -> None:
    word = tool(
        "agent_main_message_board_lead",
        board_id=str(world.board.id),
        kind="question",
        content="How many?",
    )
    (call,) = played(world.main, word, board=world.other_board)
    assert answered(call)["lead_agent_id"] == str(world.lead.id)


class Died(BaseException):
    """The process is gone."""


def test_what_could_not_be_asked_when_it_was_made_does_not_run_unasked(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise Died

    Seat.objects.filter(agent=world.worker).delete()
    worker = configured(world.worker, approval_required=["agent_board_memory_record"])
    run = begun(worker, RECORD, board=world.board)
    with monkeypatch.context() as patched:
        patched.setattr(Conversation, "call", die)
        with pytest.raises(Died):
            drive(run)
    assert (only_call(run).status, only_call(run).needs_approval) == (CallStatus.PREPARED, False)
    # By the time that another worker carries it on, the agent could do it.
    seat_agent(world.board, world.worker, by=SYSTEM)
    lose_worker(run)
    drive(run)
    assert run.status == Status.COMPLETED
    assert (only_call(run).status, only_call(run).runs) == (CallStatus.DENIED, 0)
    assert heard(run).startswith("Nobody was asked to approve this call")
    assert not MemoryEntry.objects.exists()
