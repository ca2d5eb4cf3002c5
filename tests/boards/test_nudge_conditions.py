"""Of whom the condition of a schedule holds, and of whom it does not."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents.activity import SYSTEM, Target, record
from agents.messages import Letter, acknowledge, notify
from agents.models import Activity, Agent, MessageKind
from boards.actions import ApprovalRequest, ask_approval, configure_board, withdraw_approval
from boards.models import Approval, Board, Task
from boards.recipients import recipients
from tests.boards.nudging import make_schedule
from tests.factories import (
    acting,
    make_agent,
    make_board,
    make_live_work,
    make_organization,
    make_seat,
    make_task,
)

pytestmark = pytest.mark.django_db
HALF_AN_HOUR = {"minutes": 30}


@pytest.fixture
def board() -> Board:
    return make_board(make_organization(), require_approval_for_done=False)


@pytest.fixture
def outside(board: Board) -> Agent:
    """An agent that runs itself."""
    return make_seat(board, kind="external")


@pytest.fixture
def ours(board: Board) -> Agent:
    """An agent that Signalbox runs."""
    return make_seat(board)


def nudged(board: Board, condition: str, **fields: Any) -> set[Agent]:
    schedule = make_schedule(board, condition=condition, **fields)
    return set(recipients(schedule, timezone.now()))


def ago(minutes: float) -> Any:
    return timezone.now() - timedelta(minutes=minutes)


def tell(agent: Agent, kind: MessageKind = MessageKind.ASSIGNMENT) -> Any:
    return notify(agent.organization, Letter(kind, "Count.", agent), by=SYSTEM)


def in_progress(agent: Agent, *, minutes: float = 0) -> Task:
    """A task of the agent, in progress for so long."""
    task = make_task(agent.seat.board, assigned_agent=agent, status="in_progress")
    Task.objects.filter(pk=task.pk).update(started_at=ago(minutes))
    return task


# --- idle with work in the inbox ----------------------------------------------------------------


def test_who_has_a_task_that_is_ready_is_nudged(board: Board, outside: Agent, ours: Agent) -> None:
    assert nudged(board, "idle_with_inbox") == set()
    for agent in (outside, ours):
        Task.objects.filter(pk=make_task(board).pk).update(assigned_agent=agent)
    assert nudged(board, "idle_with_inbox") == {outside, ours}


def test_a_task_that_waits_makes_nobody_be_nudged(board: Board, ours: Agent) -> None:
    first = make_task(board)
    Task.objects.filter(pk=first.pk).update(status="in_progress")
    task = make_task(board, depends_on_task_ids=[first.pk])
    Task.objects.filter(pk=task.pk).update(assigned_agent=ours)
    assert nudged(board, "idle_with_inbox") == set()
    Task.objects.filter(pk=first.pk).update(status="done")
    assert nudged(board, "idle_with_inbox") == {ours}
    ask_approval(board, ApprovalRequest("x", "y", (task.pk,)), by=SYSTEM)
    assert nudged(board, "idle_with_inbox") == {ours}
    configure_board(board, {"block_status_changes_with_pending_approval": True}, by=SYSTEM)
    assert nudged(board, "idle_with_inbox") == set()


def test_what_it_has_not_acknowledged_counts_for_who_reads_an_inbox(
    board: Board, outside: Agent, ours: Agent
) -> None:
    message, _ = tell(outside), tell(ours)
    assert nudged(board, "idle_with_inbox") == {outside}
    acknowledge(message, by=outside)
    assert nudged(board, "idle_with_inbox") == set()


def test_nobody_is_nudged_because_of_a_nudge(board: Board, outside: Agent) -> None:
    tell(outside, MessageKind.NUDGE)
    assert nudged(board, "idle_with_inbox") == set()


def test_who_is_at_work_is_not_idle(board: Board, outside: Agent, ours: Agent) -> None:
    for agent in (outside, ours):
        Task.objects.filter(pk=make_task(board).pk).update(assigned_agent=agent)
    make_live_work(ours)
    in_progress(outside)
    assert nudged(board, "idle_with_inbox") == set()


# --- in progress without a sign of life ---------------------------------------------------------


def test_who_is_silent_over_a_task_is_nudged(board: Board, outside: Agent, ours: Agent) -> None:
    idle = make_seat(board)
    for agent in (outside, ours):
        in_progress(agent, minutes=31)
    Agent.objects.filter(pk=outside.pk).update(last_seen_at=ago(31))
    assert nudged(board, "silent_in_progress", **HALF_AN_HOUR) == {outside, ours}
    assert idle not in nudged(board, "silent_in_progress", **HALF_AN_HOUR)
    assert nudged(board, "silent_in_progress", minutes=32) == set()


def test_who_called_or_works_is_not_silent(board: Board, outside: Agent, ours: Agent) -> None:
    for agent in (outside, ours):
        in_progress(agent, minutes=60)
    Agent.objects.filter(pk=outside.pk).update(last_seen_at=ago(29))
    make_live_work(ours)
    assert nudged(board, "silent_in_progress", **HALF_AN_HOUR) == set()


def test_who_has_worked_is_silent_only_after_that(board: Board, ours: Agent) -> None:
    in_progress(ours, minutes=60)
    about = Target(agent_id=ours.pk)
    line = record(board.organization_id, "execution.completed", by=SYSTEM, target=about)
    record(board.organization_id, "task.updated", by=SYSTEM, target=about)
    assert nudged(board, "silent_in_progress", **HALF_AN_HOUR) == set()
    Activity.objects.filter(pk=line.pk).update(created_at=ago(31))
    assert nudged(board, "silent_in_progress", **HALF_AN_HOUR) == {ours}


def test_a_task_that_was_just_begun_is_no_silence(board: Board, ours: Agent) -> None:
    in_progress(ours, minutes=29)
    assert nudged(board, "silent_in_progress", **HALF_AN_HOUR) == set()


# --- approval pending ---------------------------------------------------------------------------


def ask(board: Board, by: Any, *, minutes: float) -> Approval:
    approval = ask_approval(board, ApprovalRequest("release", "It is tested."), by=by)
    Approval.objects.filter(pk=approval.pk).update(created_at=ago(minutes))
    return approval


def test_who_asked_and_the_lead_are_nudged_about_an_approval(board: Board, ours: Agent) -> None:
    lead, _ = make_seat(board, "lead"), make_seat(board)
    approval = ask(board, acting(ours), minutes=31)
    assert nudged(board, "approval_pending", **HALF_AN_HOUR) == {ours, lead}
    assert nudged(board, "approval_pending", minutes=32) == set()
    withdraw_approval(approval, by=SYSTEM)
    assert nudged(board, "approval_pending", **HALF_AN_HOUR) == set()


def test_about_what_people_asked_for_the_lead_is_nudged(board: Board, ours: Agent) -> None:
    lead = make_seat(board, "lead")
    elsewhere = make_seat(make_board(board.organization), "lead")
    ask(board, SYSTEM, minutes=31)
    assert nudged(board, "approval_pending", **HALF_AN_HOUR) == {lead}
    assert nudged(elsewhere.seat.board, "approval_pending", **HALF_AN_HOUR) == set()


# --- all conditions -----------------------------------------------------------------------------


def test_only_agents_that_are_meant_are_looked_at(board: Board, ours: Agent) -> None:
    make_seat(make_board(board.organization))
    stranger = make_seat(make_board(make_organization()))
    main = make_agent(board.organization)
    assert nudged(board, "always") == {ours}
    named = make_schedule(board.organization, condition="always", agents=[main.pk])
    named.agents.add(stranger)
    assert set(recipients(named, timezone.now())) == {main}
