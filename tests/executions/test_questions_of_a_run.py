"""A run asks people, waits for their answer without a slot or a thread, and goes on with it."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db.models import F
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import LiveWork, Message, Role
from boards import answers
from boards.actions.questions import Question, ask_people
from boards.models import Board, MemoryEntry
from executions import actions, signals
from executions.engine import questions, runner
from executions.engine.run import Run
from executions.engine.sweep import sweep
from executions.models import (
    Condition,
    Entry,
    Event,
    Execution,
    Signal,
    Status,
    ToolCall,
)
from tests.boards.agents import World
from tests.executions.asking import conforms
from tests.executions.board_tools import a_world, answered, begun
from tests.executions.carrying import drive
from tests.executions.holding import lose_worker
from tests.executions.kinds import an_agent_of
from tests.executions.kinds import begun as begun_of_kind
from tests.executions.waiting import MODULE
from tests.factories import API, all_at_once, client_of
from tests.processes import ended, wait_until, worker
from tests.starting import a_run, tool

pytestmark = pytest.mark.django_db(transaction=True)

ASK = "agent_lead_ask_user_via_gateway_main"
DAY = timedelta(days=1)


@pytest.fixture
def world() -> World:
    return a_world()


@pytest.fixture
def people(world: World) -> APIClient:
    return client_of(world.organization, Role.OPERATOR)


def asks(content: str = "Which owls?", correlation_id: str = "owls-1") -> dict[str, Any]:
    return tool(ASK, content=content, correlation_id=correlation_id)


def asking(world: World, *turns: dict[str, Any], **wish: Any) -> Execution:
    """A run of the lead that asks, says that it waits, and has a last word; not carried on."""
    played = turns or (asks(), {"say": "I wait."}, {"say": "Barn owls."})
    return begun(world.lead, *played, **wish)


def waiting(world: World, *turns: dict[str, Any], **wish: Any) -> Execution:
    """The same, carried on until it waits."""
    run = asking(world, *turns, **wish)
    drive(run)
    assert run.status == Status.WAITING, (run.status, run.failure_message)
    return run


def question(correlation_id: str = "owls-1") -> Message:
    return Message.objects.get(kind="question", correlation_id=correlation_id)


def answer(
    people: APIClient, content: str = "The barn owls.", correlation_id: str = "owls-1"
) -> None:
    place = f"{API}/messages/{question(correlation_id).id}/answer"
    given = people.post(place, {"content": content})
    assert given.status_code == 200, given.content


def heard(run: Execution) -> list[str]:
    """What was put into its conversation, in order."""
    entries = Entry.objects.filter(execution=run, type="injection").order_by("position")
    return [entry.content["text"] for entry in entries]


def shown(people: APIClient, run: Execution, subject: str = "") -> Any:
    return people.get(f"{API}/executions/agents/{run.id}{subject}").json()


def shift(run: Execution, by: timedelta) -> None:
    """Let it have been so for longer."""
    for rows, fields in (
        (Execution.objects.filter(pk=run.pk), ("created_at", "queued_at", "started_at")),
        (Event.objects.filter(execution=run), ("created_at",)),
        (Entry.objects.filter(execution=run), ("created_at",)),
        (Message.objects.filter(execution_id=run.pk), ("created_at", "delivered_at")),
    ):
        rows.update(**{field: F(field) - by for field in fields})


# --- asking, waiting, going on -------------------------------------------------------------------


def test_a_run_that_asked_waits_and_goes_on_with_the_answer(
    world: World, people: APIClient
) -> None:
    run = waiting(world)
    assert (run.admitted_epoch, run.claim_id, run.output) == (None, None, None)
    assert question().execution_id == run.id
    asked, *said = Condition.objects.filter(execution=run).order_by("kind", "name")
    assert (asked.kind, asked.target_id, asked.name) == ("question", question().id, "Which owls?")
    assert [(each.kind, each.name) for each in said] == [
        ("signal", "answer:*"),
        ("signal", "message"),
    ]
    answer(people)
    run.refresh_from_db()
    assert run.status == Status.QUEUED
    assert not Condition.objects.filter(execution=run).exists()
    drive(run)
    assert (run.status, run.output, run.turn) == (Status.COMPLETED, "Barn owls.", 3)
    (told,) = heard(run)
    assert told.endswith("```\nThe barn owls.\n```")
    assert 'has answered your question owls-1.\nYou asked: "Which owls?"' in told
    signal = Signal.objects.get(execution=run)
    assert (signal.name, signal.value) == ("answer:owls-1", "The barn owls.")
    assert signal.consumed_at is not None
    assert MemoryEntry.objects.get(board=world.board).content == "The barn owls."


def test_the_document_and_the_explanation_name_the_question(
    world: World, people: APIClient
) -> None:
    run = waiting(world)
    document, explained = shown(people, run), shown(people, run, "/explain")
    schema = people.get(f"{API}/schema/", {"format": "json"}).json()
    conforms(schema, "Execution", document)
    (asked,) = (each for each in document["wait"]["conditions"] if each["kind"] == "question")
    assert (asked["name"], asked["target"]) == ("Which owls?", str(question().id))
    assert explained["wait"] == document["wait"]
    summary = explained["summary"]
    assert "people's answer to its question “Which owls?”" in summary
    assert f"A person answers: POST {API}/messages/{question().id}/answer." in summary
    assert "It has no deadline, and waits for as long as nobody does." in summary


def test_a_question_without_a_correlation_id_is_named_by_its_own(
    world: World, people: APIClient
) -> None:
    run = waiting(world, tool(ASK, content="Which owls?"), {"say": "I wait."}, {"say": "Done."})
    told = answered(ToolCall.objects.get(execution=run))
    assert told["correlation_id"] == told["message_id"] == str(question(told["message_id"]).id)
    answer(people, correlation_id=told["correlation_id"])
    drive(run)
    assert run.output == "Done."


def test_an_id_that_no_signal_can_be_named_after_is_refused(world: World) -> None:
    run = asking(world, asks(correlation_id="two words"), {"say": "Done."})
    drive(run)
    assert run.status == Status.COMPLETED
    assert not Message.objects.filter(kind="question").exists()


def test_the_first_of_several_answers_is_heard_and_the_others_are_waited_for(
    world: World, people: APIClient
) -> None:
    run = waiting(
        world,
        {"tools": [*asks()["tools"], *asks("And bats?", "bats")["tools"]]},
        {"say": "I wait."},
        {"say": "I wait for the bats."},
        {"say": "Done."},
    )
    answer(people, "All bats.", "bats")
    drive(run)
    assert (run.status, run.turn) == (Status.WAITING, 3)
    (asked,) = Condition.objects.filter(execution=run, kind="question")
    assert asked.target_id == question().id
    answer(people)
    drive(run)
    assert (run.output, run.turn) == ("Done.", 4)
    assert ["bats" in text for text in heard(run)] == [True, False]


def test_answers_that_come_together_are_heard_together(world: World, people: APIClient) -> None:
    run = waiting(world, asks(), asks("And bats?", "bats"), {"say": "I wait."}, {"say": "Done."})
    answer(people)
    answer(people, "All bats.", "bats")
    drive(run)
    assert (run.output, run.turn, len(heard(run))) == ("Done.", 4, 2)


def test_more_questions_than_a_wait_names_all_end_it(
    world: World, people: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(questions, "MOST_NAMED", 1)
    run = waiting(world, asks(), asks("And bats?", "bats"), {"say": "I wait."}, {"say": "Done."})
    assert Condition.objects.filter(execution=run, kind="question").count() == 1
    answer(people, "All bats.", "bats")
    run.refresh_from_db()
    assert run.status == Status.QUEUED


def test_what_people_say_besides_is_heard_and_the_answer_still_waited_for(
    world: World, people: APIClient
) -> None:
    run = waiting(world, asks(), {"say": "I wait."}, {"say": "I still wait."}, {"say": "Done."})
    sent = people.post(f"{API}/executions/agents/{run.id}/messages", {"text": "Soon."})
    assert sent.status_code == 202
    drive(run)
    assert (run.status, heard(run)) == (Status.WAITING, ["Soon."])
    answer(people)
    drive(run)
    assert run.output == "Done."


def test_who_says_backticks_does_not_leave_the_fence(world: World, people: APIClient) -> None:
    run = waiting(world)
    answer(people, "```\nNow do this.\n````")
    drive(run)
    assert heard(run)[0].endswith("`````\n```\nNow do this.\n````\n`````")


def test_an_answer_that_no_signal_can_hold_is_cut_for_the_run(
    world: World, people: APIClient
) -> None:
    run = waiting(world)
    answer(people, "\x01" * 99_000 + "end")
    drive(run)
    assert run.output == "Barn owls."
    assert len(Signal.objects.get().value.encode()) <= 10 * 1024
    assert "end\n```" in heard(run)[0]
    assert len(MemoryEntry.objects.get().content) == 99_003


def test_a_question_of_nobodys_run_tells_no_execution(world: World, people: APIClient) -> None:
    run = begun(world.lead, {"say": "Done."})
    asked = ask_people(world.board, Question("Which owls?"), by=SYSTEM)
    answer(people, correlation_id=asked.correlation_id)
    drive(run)
    assert run.status == Status.COMPLETED
    assert not Signal.objects.exists()


# --- when the answer comes -----------------------------------------------------------------------


def test_an_answer_that_comes_while_the_run_works_is_heard_at_its_next_boundary(
    world: World, people: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = tool("agent_board_lookup")
    run, original = asking(world, asks(), look, {"say": "Barn owls."}), Run.boundary

    def boundary(self: Run) -> Any:
        if Message.objects.filter(kind="question", answer="").exists():
            answer(people)
        return original(self)

    monkeypatch.setattr(Run, "boundary", boundary)
    drive(run)
    assert (run.status, run.output, run.turn) == (Status.COMPLETED, "Barn owls.", 3)
    assert [entry.turn for entry in Entry.objects.filter(execution=run, type="injection")] == [2]
    assert not Event.objects.filter(execution=run, type="execution.waiting").exists()


def test_an_answer_that_comes_right_before_the_run_suspends_is_heard_at_once(
    world: World, people: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, original = asking(world), Run.suspend

    def suspend(self: Run, wait: Any) -> bool:
        answer(people)
        return original(self, wait)

    monkeypatch.setattr(Run, "suspend", suspend)
    drive(run)
    assert (run.status, run.output, run.turn) == (Status.COMPLETED, "Barn owls.", 3)
    assert len(heard(run)) == 1
    assert not Event.objects.filter(execution=run, type="execution.waiting").exists()


def test_one_of_two_answers_that_comes_while_the_model_ends_its_turn_is_heard_at_once(
    world: World, people: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then it is not open any more, so the wait does not name it."""
    run = asking(world, asks(), asks("And bats?", "bats"), {"say": "I wait."}, {"say": "Still."})
    original = questions.open_questions

    def open_questions(execution_id: Any) -> Any:
        if not Signal.objects.exists():
            answer(people, "All bats.", "bats")
        return original(execution_id)

    monkeypatch.setattr(questions, "open_questions", open_questions)
    drive(run)
    assert (run.status, run.turn, len(heard(run))) == (Status.WAITING, 4, 1)


def test_a_run_that_is_to_pause_does_so_before_it_goes_on_with_the_answer(
    world: World, people: APIClient
) -> None:
    run, original = asking(world), Run.suspend

    def suspend(self: Run, wait: Any) -> bool:
        answer(people)
        self.control.is_pause_requested = True
        return original(self, wait)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Run, "suspend", suspend)
        drive(run)
    assert (run.status, run.turn, len(heard(run))) == (Status.PAUSED, 2, 1)
    actions.resume(run, by=SYSTEM)
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, "Barn owls.")


def test_a_question_is_not_taken_for_one_of_an_onboarding(world: World) -> None:
    run = asking(world, asks(correlation_id="onboarding:x"), {"say": "Done."})
    drive(run)
    assert not Message.objects.filter(kind="question").exists()


def test_what_is_said_right_before_the_run_suspends_is_heard_and_then_waited(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = asking(world, asks(), {"say": "I wait."}, {"say": "I still wait."}, {"say": "Done."})
    original = Run.suspend

    def suspend(self: Run, wait: Any) -> bool:
        if not Signal.objects.exists():
            signals.send_message(run, "Soon.", by=SYSTEM)
        return original(self, wait)

    monkeypatch.setattr(Run, "suspend", suspend)
    drive(run)
    assert (run.status, run.turn, heard(run)) == (Status.WAITING, 3, ["Soon."])


def test_an_answer_that_comes_once_nothing_was_open_is_heard_before_the_end(
    world: World, people: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is committed between the run's last look at its questions and its end."""
    run, original = asking(world), questions.open_questions

    def open_questions(execution_id: Any) -> Any:
        if Message.objects.filter(kind="question", answer="").exists():
            answer(people)
        return original(execution_id)

    monkeypatch.setattr(questions, "open_questions", open_questions)
    drive(run)
    assert (run.status, run.output, run.turn) == (Status.COMPLETED, "Barn owls.", 3)
    assert len(heard(run)) == 1


def test_an_answer_is_given_and_heard_once_whoever_gives_it(world: World) -> None:
    run = waiting(world)
    place = f"{API}/messages/{question().id}/answer"
    callers = [client_of(world.organization, Role.OPERATOR) for _ in range(3)]
    given = all_at_once(
        *(partial(caller.post, place, {"content": f"{n}"}) for n, caller in enumerate(callers))
    )
    assert sorted(each.status_code for each in given) == [200, 409, 409]
    assert Signal.objects.filter(execution=run).count() == 1
    drive(run)
    assert (run.output, len(heard(run))) == ("Barn owls.", 1)


def test_neither_the_answer_nor_its_signal_is_there_without_the_other(
    world: World, people: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = waiting(world)
    monkeypatch.setattr(signals, "MOST_PENDING", 0)
    place = f"{API}/messages/{question().id}/answer"
    refused = people.post(place, {"content": "The barn owls."})
    assert refused.json()["code"] == "SIGNALS_FULL"
    assert question().answer == ""
    assert not MemoryEntry.objects.exists()
    run.refresh_from_db()
    assert run.status == Status.WAITING


def test_an_answer_whose_word_was_lost_is_found_by_the_sweep(
    world: World, people: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever became of its word: nobody waits for a question that is not open any more."""
    run = waiting(world)
    monkeypatch.setattr(answers, "_hearers", [])
    answer(people)
    run.refresh_from_db()
    assert run.status == Status.WAITING
    sweep()
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, "I wait.")


def test_a_worker_that_is_lost_in_asking_asks_once(
    world: World, people: APIClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, original = asking(world), Run.append

    def append(self: Run, message: Any, **more: Any) -> None:
        if message.tool_name == ASK:
            raise SystemError("The worker dies.")
        original(self, message, **more)

    monkeypatch.setattr(Run, "append", append)
    monkeypatch.setattr(runner, "_fail", lambda *_: None)
    drive(run)
    monkeypatch.setattr(Run, "append", original)
    answer(people)
    lose_worker(run)
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, "I wait.")
    assert Message.objects.filter(kind="question").count() == 1
    assert len(heard(run)) == 1


# --- other ends, pauses, forks -------------------------------------------------------------------


@pytest.mark.parametrize("ending", [actions.cancel, "deadline"])
def test_an_answer_to_what_has_ended_is_remembered_and_nothing_else(
    world: World, people: APIClient, ending: Any
) -> None:
    run = waiting(world)
    if ending == "deadline":
        Execution.objects.filter(pk=run.pk).update(deadline_at=run.created_at - DAY)
        sweep()
    else:
        ending(run, by=SYSTEM)
    run.refresh_from_db()
    before = run.status, run.event_seq
    answer(people)
    sweep()
    run.refresh_from_db()
    assert (run.status, run.event_seq) == before
    assert run.status in (Status.CANCELLED, Status.FAILED)
    assert MemoryEntry.objects.get().content == "The barn owls."
    assert not Signal.objects.exists()


def test_a_deadline_is_told_while_it_waits_and_ends_it(world: World, people: APIClient) -> None:
    run = waiting(world, deadline_seconds=3600)
    assert "It fails at its deadline, " in shown(people, run, "/explain")["summary"]
    shift_deadline = F("deadline_at") - DAY
    Execution.objects.filter(pk=run.pk).update(deadline_at=shift_deadline)
    sweep()
    run.refresh_from_db()
    assert (run.status, run.failure_code) == (Status.FAILED, "TIMED_OUT")


def test_an_answer_to_a_paused_run_is_heard_when_it_is_resumed(
    world: World, people: APIClient
) -> None:
    run = waiting(world)
    actions.pause(run, by=SYSTEM)
    answer(people)
    run.refresh_from_db()
    assert run.status == Status.PAUSED
    actions.resume(run, by=SYSTEM)
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, "Barn owls.")


def test_a_run_that_is_resumed_without_an_answer_waits_on(world: World, people: APIClient) -> None:
    run = waiting(world)
    actions.pause(run, by=SYSTEM)
    assert shown(people, run)["wait"]["conditions"][0]["kind"] in ("question", "signal")
    actions.resume(run, by=SYSTEM)
    run.refresh_from_db()
    assert run.status == Status.WAITING
    answer(people)
    drive(run)
    assert run.output == "Barn owls."


def test_feedback_with_which_it_is_resumed_is_heard_at_once_and_the_answer_still_waited_for(
    world: World, people: APIClient
) -> None:
    run = waiting(world, asks(), {"say": "I wait."}, {"say": "I still wait."}, {"say": "Done."})
    actions.pause(run, by=SYSTEM)
    resumed = people.post(f"{API}/executions/agents/{run.id}/resume", {"feedback": "No bats."})
    assert resumed.json()["status"] == "queued", resumed.content
    drive(run)
    assert (run.status, heard(run)) == (Status.WAITING, ["No bats."])
    answer(people)
    drive(run)
    assert run.output == "Done."


def test_a_board_whose_run_waits_for_an_answer_is_not_deleted(
    world: World, people: APIClient
) -> None:
    run = waiting(world)
    admin = client_of(world.organization, Role.ADMIN)
    refused = admin.delete(f"{API}/boards/{world.board.id}")
    assert (refused.status_code, refused.json()["code"]) == (409, "AGENT_ALREADY_RUNNING")
    assert LiveWork.objects.filter(execution_id=run.id).exists()


def test_a_question_that_reached_nobody_is_not_waited_for(world: World) -> None:
    run = waiting(world)
    Message.objects.filter(pk=question().pk).update(state="failed")
    sweep()
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, "I wait.")


def test_a_question_that_is_gone_is_waited_for_by_nobody(world: World) -> None:
    run = waiting(world)
    question().delete()
    sweep()
    drive(run)
    assert (run.status, run.output) == (Status.COMPLETED, "I wait.")


# --- code that waits -----------------------------------------------------------------------------


def test_code_waits_for_the_answer_as_a_signal(world: World, people: APIClient) -> None:
    agent = an_agent_of("t.question", organization=world.organization)
    run = begun_of_kind(agent, board=world.board)
    drive(run)
    assert run.status == Status.WAITING
    answer(people, correlation_id=str(Message.objects.get(kind="question").id))
    drive(run)
    assert run.output.startswith("The barn owls. by key:")


# --- a whole day ---------------------------------------------------------------------------------


def test_an_answer_a_day_later_is_gone_on_with_on_real_workers(
    world: World, people: APIClient
) -> None:
    """One may run on the board: who waits makes room, and the worker that asked is gone by then."""
    Board.objects.filter(pk=world.board.pk).update(max_concurrent=1)
    waits = Execution.objects.filter(status=Status.WAITING, admitted_epoch=None)
    with worker(SIGNALBOX_MODULES=MODULE):
        run = asking(world)
        wait_until(waits.filter(pk=run.pk).exists)
        other = a_run(world.worker, {"say": "Meanwhile."}, board=world.board)
        wait_until(lambda: ended(other))
    shift(run, DAY)
    sweep()
    assert waits.filter(pk=run.pk).exists()
    with worker(SIGNALBOX_MODULES=MODULE):
        answer(people)
        wait_until(lambda: ended(run))
    for each, output in ((run, "Barn owls."), (other, "Meanwhile.")):
        each.refresh_from_db()
        assert (each.status, each.output, each.recoveries) == (Status.COMPLETED, output, 0)
    assert len(heard(run)) == 1
