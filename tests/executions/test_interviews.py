"""A main agent that Signalbox runs sets a board up: its runs ask, hear, and hand the draft in."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import transaction

from agents.actions import delete_agent, pause_agent, unpause_agent
from agents.activity import SYSTEM
from agents.models import Agent
from boards.actions import interviewing, onboarding
from boards.models import Board, OnboardingSession, Seat
from executions import interviews
from executions.engine.sweep import sweep
from executions.models import Execution, Signal, Status
from tests.boards.agents import World
from tests.executions.board_tools import a_world, configured
from tests.executions.carrying import complete, drive
from tests.factories import (
    API,
    all_at_once,
    client_of,
    somebody_waits_for_a_lock,
    wait_until,
)
from tests.starting import script, tool

pytestmark = pytest.mark.django_db(transaction=True)

DRAFT = {"objective": "Count owls.", "success_metrics": {"owls": 40}, "autonomy": "balanced"}


@pytest.fixture
def world() -> World:
    world = a_world()
    Seat.objects.filter(board=world.board, role="lead").delete()
    configured(world.main, tools=["agent_board_onboarding_update"])
    return world


@pytest.fixture
def place(world: World) -> str:
    return f"{API}/boards/{world.board.id}/onboarding"


def will_play(board: Board, *turns: dict[str, Any]) -> None:
    """What the interviewer's next run plays: its briefing holds the board's description."""
    Board.objects.filter(pk=board.pk).update(description=script(*turns))


def asks(board: Board, **body: Any) -> dict[str, Any]:
    return tool("agent_board_onboarding_update", board_id=str(board.id), **body)


def runs(world: World) -> list[Execution]:
    return list(Execution.objects.filter(agent=world.main).order_by("created_at"))


def test_a_scripted_main_agent_sets_a_board_up_with_its_tools(world: World, place: str) -> None:
    client = client_of(world.organization, "operator")
    questions = [asks(world.board, question=f"Question {n}?") for n in range(1, 7)]
    will_play(world.board, *questions)
    assert client.post(place, {"interviewer": "main_agent"}).status_code == 201
    (first,) = runs(world)
    drive(first)
    assert first.status == Status.COMPLETED, first.failure_message
    will_play(world.board, asks(world.board, draft=DRAFT))
    for number in range(1, 7):
        assert len(runs(world)) == 1
        assert client.post(f"{place}/answer", {"answer": f"Answer {number}"}).status_code == 200
    _, second = runs(world)
    assert "Question 6?\n  Answer 6" in second.input["prompt"]
    drive(second)
    session = client.get(place).json()
    assert (session["status"], session["draft"]) == ("completed", DRAFT)
    done = client.post(f"{place}/confirm").json()
    seat = Seat.objects.select_related("agent").get(board=world.board, role="lead")
    assert (done["status"], done["lead"]) == ("confirmed", str(seat.agent.id))
    assert (seat.agent.kind, seat.agent.name) == ("react", "Lead of Owls")
    world.board.refresh_from_db()
    assert (world.board.objective, world.board.auto_start) == ("Count owls.", True)
    assert len(runs(world)) == 2


def test_what_is_live_hears_the_answer_and_the_sweep_sees_that_it_was_used(world: World) -> None:
    onboarding.start_onboarding(world.board, by=SYSTEM)
    (live,) = runs(world)
    interviewing.ask_question(world.board, "What for?", by=SYSTEM)
    interviewing.answer_question(world.board, "Owls", by=SYSTEM)
    said = Signal.objects.get(execution=live, name="message")
    assert said.value["text"].endswith("'What for?': Owls")
    assert sweep()["begin_left"] == 0
    complete(live)
    # It ended without another question: one more run is told everything.
    assert [sweep()["begin_left"], sweep()["begin_left"]] == [1, 0]
    assert "What for?\n  Owls" in runs(world)[-1].input["prompt"]
    complete(runs(world)[-1])
    # An agent that does not ask is not asked for ever.
    assert sweep()["begin_left"] == 0


def test_the_sweep_begins_what_a_pause_kept_back(world: World) -> None:
    pause_agent(world.main, by=SYSTEM)
    session = OnboardingSession(board=world.board, agent=world.main, said=1)
    session.save()
    assert sweep()["begin_left"] == 0
    unpause_agent(world.main, by=SYSTEM)
    assert sweep()["begin_left"] == 1
    assert len(runs(world)) == 1


def test_two_sweeps_at_once_begin_one_run(world: World) -> None:
    world.main.refresh_from_db()
    OnboardingSession.objects.create(board=world.board, agent=world.main, said=1)
    assert sum(all_at_once(*[interviews.begin_left] * 4)) == 1
    assert len(runs(world)) == 1


def test_nothing_begins_for_who_may_not_ask_or_when_it_is_over(world: World) -> None:
    onboarding.start_onboarding(world.board, by=SYSTEM)
    (live,) = runs(world)
    complete(live)
    onboarding.take_over(world.board, by=SYSTEM)
    onboarding.cancel_onboarding(world.board, by=SYSTEM)
    configured(world.main, tools=["Read"])
    onboarding.start_onboarding(world.board, by=SYSTEM)
    assert sweep()["begin_left"] == 0
    assert len(runs(world)) == 1


def test_who_deletes_the_interviewer_and_who_begins_its_run_do_not_wait_for_each_other(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.main.refresh_from_db()
    OnboardingSession.objects.create(board=world.board, agent=world.main, said=1)
    at_it = threading.Event()

    def delete() -> None:
        with transaction.atomic():
            Agent.objects.select_for_update(no_key=True).get(pk=world.main.pk)
            at_it.set()
            wait_until(somebody_waits_for_a_lock)
            delete_agent(world.main, by=SYSTEM)

    def begin() -> int:
        at_it.wait(10)
        return interviews.begin_left()

    assert all_at_once(delete, begin) == [None, 0]
    assert not [each for each in caplog.records if "could not go on" in each.message]
    assert OnboardingSession.objects.get().agent is None
