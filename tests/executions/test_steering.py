"""What people say to a run reaches its model: at its next turn, or in the middle of a call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any
from uuid import uuid4

import pytest

from agents.activity import SYSTEM
from agents.models import Role
from executions import starts
from executions.configuration import Wish
from executions.engine.control import Control
from executions.engine.run import Run
from executions.models import Entry, Execution, Signal, Status
from tests.chaos.held_model import HeldModel, tagged
from tests.executions.carrying import claimed, drive
from tests.factories import API, client_of
from tests.model_server import Asked
from tests.processes import ended, wait_until, worker
from tests.starting import a_run, an_agent, tool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model() -> Iterator[HeldModel]:
    with HeldModel() as server:
        yield server


def say(run: Execution, text: str, when: str = "next_turn") -> None:
    body = {"text": text, "when": when}
    caller = client_of(run.organization, Role.OPERATOR)
    assert caller.post(f"{API}/executions/agents/{run.id}/messages", body).status_code == 202


def a_held_run(model: HeldModel, *turns: dict[str, Any]) -> tuple[Execution, str]:
    tag = uuid4().hex
    model.hold(tag, 1)
    run = starts.start(model.agent(), Wish(prompt=tagged(tag, *turns)), by=SYSTEM)
    return run, tag


def last_of(asked: Asked) -> str:
    return json.dumps(asked.conversation()[-1])


def test_an_interruption_ends_the_call_and_the_next_one_knows_why(model: HeldModel) -> None:
    with worker(SIGNALBOX_LEASE_SECONDS="30", OPENAI_API_KEY="k"):
        run, tag = a_held_run(model, {"say": "Done."})
        wait_until(lambda: model.is_waited_for(tag, 1))
        say(run, "Take the other road.", "interrupt")
        wait_until(lambda: len(model.asked(tag, 1)) == 2, seconds=5)
        first, second = model.asked(tag, 1)
        model.wait_for("disconnected")
        assert first.outcome == "disconnected"
        assert "Take the other road." in last_of(second)
        model.give_free()
        wait_until(lambda: ended(run))
    run.refresh_from_db()
    assert (run.status, run.output, run.turn) == (Status.COMPLETED, "Done.", 1)
    assert run.interrupt_requested_at is None
    said = Entry.objects.filter(execution=run).order_by("position")
    assert [entry.type for entry in said] == ["message", "injection", "llm_call"]


def test_a_message_for_the_next_turn_lets_the_call_end(model: HeldModel) -> None:
    with worker(OPENAI_API_KEY="k"):
        run, tag = a_held_run(model, tool("Read", path="none.txt"), {"say": "Done."})
        wait_until(lambda: model.is_waited_for(tag, 1))
        say(run, "And quickly.")
        model.give_free()
        wait_until(lambda: ended(run))
    assert [len(model.asked(tag, turn)) for turn in (1, 2)] == [1, 1]
    assert "And quickly." in last_of(model.asked(tag, 2)[0])
    assert not Signal.objects.filter(consumed_at=None).exists()


def test_a_message_that_comes_with_the_last_reply_is_answered(model: HeldModel) -> None:
    """The reply has no call: without another turn the message would be left behind."""
    with worker(OPENAI_API_KEY="k"):
        run, tag = a_held_run(model, {"say": "Done."}, {"say": "That too."})
        wait_until(lambda: model.is_waited_for(tag, 1))
        say(run, "One more thing.")
        model.give_free()
        wait_until(lambda: ended(run))
    run.refresh_from_db()
    assert (run.output, run.turn) == ("That too.", 2)
    assert "One more thing." in last_of(model.asked(tag, 2)[0])


def test_words_from_many_people_at_once_are_all_heard_in_order(model: HeldModel) -> None:
    with worker(OPENAI_API_KEY="k"):
        run, tag = a_held_run(model, {"say": "Done."})
        wait_until(lambda: model.is_waited_for(tag, 1))
        for number in range(12):
            say(run, f"word {number}", "interrupt" if number % 3 == 0 else "next_turn")
        model.give_free()
        wait_until(lambda: ended(run))
    heard = Entry.objects.filter(execution=run, type="injection").order_by("position")
    assert [entry.content["text"] for entry in heard] == [f"word {n}" for n in range(12)]


def test_an_interruption_between_two_calls_ends_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """It comes when the run has looked for messages and has not asked its model yet."""
    run, original = a_run(an_agent(), {"say": "Done."}), Run.boundary

    def boundary(self: Run) -> Any:
        spent = original(self)
        if not Signal.objects.exists():
            say(run, "Wait.", "interrupt")
            self.control.steer()  # As the keeper does once it has looked.
        return spent

    monkeypatch.setattr(Run, "boundary", boundary)
    drive(run)
    said = Entry.objects.filter(execution=run).order_by("position")
    assert [entry.type for entry in said] == ["message", "injection", "llm_call"]
    assert run.turn == 1


def test_a_kind_that_reads_its_messages_itself_is_not_interrupted() -> None:
    run = a_run(an_agent(), {"say": "Done."})
    control = Control(claimed(run), 30, taken_at=0)
    control.is_steerable = False
    control.steer()
    call: Future[None] = Future()
    control.attach(call)
    assert not call.cancelled()
