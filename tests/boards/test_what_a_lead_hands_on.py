"""A worker that a lead creates may do no more than the lead itself."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import connection, transaction

from agents.actions import configure_agent
from agents.activity import SYSTEM
from agents.errors import Refusal
from agents.models import Agent
from agents.runtime.spec import DEFAULT_TOOLS
from boards.actions import change_seat, staff
from boards.errors import LeadsOnly, ToolNotAllowed
from boards.models import Board, Seat, SeatRole
from tests.boards.agents import AGENT, with_token
from tests.factories import (
    acting,
    make_board,
    make_organization,
    make_seat,
    somebody_waits_for_a_lock,
    wait_until,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def board() -> Board:
    return make_board(make_organization())


def created(board: Board, lead: Agent, **fields: Any) -> Agent:
    return staff.create_worker(board, lead, {"name": "Tess", **fields}, by=acting(lead))


@pytest.mark.parametrize(
    ("own", "wanted", "beyond"),
    [
        (["Read", "Grep"], ["Read", "Bash", "Write"], ["Bash", "Write"]),
        (["Read"], ["*"], ["*"]),
        ([], ["Read"], ["Read"]),
        (None, ["Read", "WebFetch"], ["WebFetch"]),
        (["agent_task_update"], ["agent_lead_create_agent"], ["agent_lead_create_agent"]),
    ],
)
def test_a_tool_that_the_lead_has_not_is_refused_by_name(
    board: Board, own: list[str] | None, wanted: list[str], beyond: list[str]
) -> None:
    lead = make_seat(board, SeatRole.LEAD, tools=own)
    answer = with_token(lead).post(f"{AGENT}/agents", {"name": "Tess", "tools": wanted})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (403, "AGENT_TOOL_NOT_ALLOWED")
    assert problem["tools"] == beyond
    assert problem["allowed"] == sorted(DEFAULT_TOOLS if own is None else own)
    assert not Agent.objects.filter(name="Tess").exists()


@pytest.mark.parametrize(
    ("own", "of_board", "wanted", "given"),
    [
        (["Read", "Bash"], None, ["Bash"], ["Bash"]),
        (["*"], None, ["WebFetch"], ["WebFetch"]),
        (["*"], None, ["*"], ["*"]),
        (["Read"], None, [], []),
        # Named none: as the board has it, as far as the lead has it too.
        (["*"], None, None, None),
        (list(DEFAULT_TOOLS), None, None, list(DEFAULT_TOOLS)),
        (None, ["*"], None, None),
        (None, ["Write"], None, None),
        (["Read", "WebFetch"], None, None, ["Read"]),
        (["Read", "WebFetch"], ["*"], None, ["Read", "WebFetch"]),
        (["WebFetch"], ["Read"], None, []),
    ],
)
def test_a_worker_has_tools_of_its_lead(
    board: Board, own: Any, of_board: Any, wanted: Any, given: Any
) -> None:
    Board.objects.filter(pk=board.pk).update(tools=of_board)
    lead = make_seat(board, SeatRole.LEAD, tools=own)
    answer = with_token(lead).post(f"{AGENT}/agents", {"name": "Tess", "tools": wanted})
    assert answer.status_code == 200, answer.content
    assert Agent.objects.get(name="Tess").tools == given


def on_no_friday(*_: Any) -> None:
    """A hook."""


def test_what_holds_the_lead_back_holds_its_worker_back(board: Board, settings: Any) -> None:
    settings.SIGNALBOX_MODULES = [__name__]
    held = ["Write", {"tool": "agent_task_update", "arguments": {"status": "done"}}]
    guard = {"pre_tool": [f"{__name__}.on_no_friday"]}
    lead = make_seat(board, SeatRole.LEAD, approval_required=held, hooks=guard)
    answer = with_token(lead).post(
        f"{AGENT}/agents", {"name": "Tess", "tools": ["Read"], "approval_required": []}
    )
    assert answer.status_code == 422  # It says nothing of that at all.
    made = created(board, lead, tools=["Read"])
    assert (made.approval_required, made.hooks) == (held, guard)


def test_who_leads_no_more_creates_nobody(board: Board) -> None:
    lead = make_seat(board, SeatRole.LEAD)
    change_seat(Seat.objects.get(agent=lead), SeatRole.WORKER, by=SYSTEM)
    with pytest.raises(LeadsOnly):
        created(board, lead)


def test_tools_that_are_just_taken_from_the_lead_are_not_handed_on(board: Board) -> None:
    lead = make_seat(board, SeatRole.LEAD, tools=["Read", "Bash"])
    answers: list[Agent | Refusal] = []

    def create() -> None:
        try:
            answers.append(created(board, lead, tools=["Bash"]))
        except Refusal as refusal:
            answers.append(refusal)
        finally:
            connection.close()

    creating = threading.Thread(target=create)
    with transaction.atomic():
        configure_agent(lead, {"tools": ["Read"]}, by=SYSTEM)
        creating.start()
        wait_until(somebody_waits_for_a_lock)
    creating.join()
    assert isinstance(answers[0], ToolNotAllowed), answers
