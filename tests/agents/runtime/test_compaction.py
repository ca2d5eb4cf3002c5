"""Conversations that grow too long: what is summed up, what is kept, and that nothing is parted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime import compaction
from agents.runtime.compaction import count_kept, request_for, shortened, with_short_results
from agents.runtime.facts import (
    AskModel,
    Compact,
    Concluding,
    Fact,
    Finished,
    Message,
    ModelRequest,
    Reply,
    Role,
    RunTool,
    ToolDescription,
    TooLong,
    ToolRequest,
    ToolResult,
    Usage,
)
from agents.runtime.facts import Outcome as Came
from agents.runtime.limits import Limits, Spent
from agents.runtime.loop import decide
from agents.runtime.spec import ModelSettings, RunSpec
from agents.runtime.transcript import Transcript, in_order

WINDOW = 2000


def called(number: int, text: str = "") -> list[Message]:
    """A turn of one call, and what came of it."""
    request = ToolRequest(f"c{number}", "Read", {"path": f"{number}.txt"})
    return [
        Message(Role.ASSISTANT, f"I read {number}.", tool_requests=(request,)),
        Message(Role.TOOL_RESULT, text or f"text {number}", call_id=f"c{number}", tool_name="Read"),
    ]


def conversation(turns: int, text: str = "") -> list[Message]:
    told = [Message(Role.USER, "Do it.")]
    return told + [message for number in range(turns) for message in called(number, text)]


def run(
    spec: RunSpec, transcript: Transcript, answers: dict[type[Fact], Any]
) -> tuple[list[Fact], list[ModelRequest]]:
    """Drive the loop: what it asked for in order, and the requests that the model was sent."""
    spent = Spent(transcript.turn, Usage(), 0.0, Limits(50))
    loop, answer = decide(spec, transcript, (), spent), None
    facts: list[Fact] = []
    while True:
        fact = loop.send(answer)
        if isinstance(fact, Concluding):
            answer = False  # Nobody was asked anything.
            continue
        facts.append(fact)
        if isinstance(fact, Finished):
            return facts, [each.request for each in facts if isinstance(each, AskModel)]
        given = answers.get(type(fact))
        answer = given.pop(0) if isinstance(given, list) else given


def spec(window: int | None = WINDOW) -> RunSpec:
    return RunSpec(model="scripted:play", model_settings=ModelSettings(context_tokens=window))


def test_what_fits_is_left_as_it_is() -> None:
    facts, asked = run(spec(), Transcript(conversation(3), turn=3), {AskModel: Reply("Done.")})
    assert not any(isinstance(fact, Compact) for fact in facts)
    assert len(asked[0].messages) == 7


def test_what_is_too_long_is_summed_up_before_the_model_is_asked() -> None:
    transcript = Transcript(conversation(30, "x" * 400), turn=30)
    answers = {Compact: Reply("I read thirty files."), AskModel: Reply("Done.")}
    facts, (asked,) = run(spec(), transcript, answers)
    assert [type(fact) for fact in facts] == [Compact, AskModel, Finished]
    first, summary, *newest = asked.messages
    assert first.content == "Do it."
    assert summary.role is Role.USER
    assert "I read thirty files." in summary.content
    assert newest == conversation(30, "x" * 400)[-len(newest) :]
    assert asked.turn == 31
    assert compaction.length_of(asked) < WINDOW * 4 * compaction.FULL_AT


def test_the_summary_is_asked_for_without_tools_and_of_the_older_part_alone() -> None:
    transcript = Transcript(conversation(30, "x" * 400), turn=30)
    answers = {Compact: Reply("Thirty."), AskModel: Reply("Done.")}
    facts, _ = run(spec(), transcript, answers)
    assert isinstance(facts[0], Compact)
    request, kept = facts[0].request, facts[0].kept
    (told,) = request.messages
    assert request.tools == ()
    assert "I read 0." in told.content
    assert f"I read {29 - kept // 2}." in told.content
    assert "I read 29." not in told.content


def test_the_models_own_count_says_how_long_a_token_is() -> None:
    """Of a text of which a token is one character, a quarter fits."""
    transcript = Transcript(conversation(4, "x" * 400), turn=4)
    call = ToolRequest("more", "Read", {})
    counted = Reply("", tool_requests=(call,), usage=Usage(1, 1700, 1))
    answers: dict[type[Fact], Any] = {
        AskModel: [counted, Reply("Done.")],
        RunTool: ToolResult("more", "Read", Came.COMPLETE, "y"),
        Compact: Reply("Four."),
    }
    facts, _ = run(spec(), transcript, answers)
    assert [type(fact).__name__ for fact in facts if not isinstance(fact, RunTool)] == [
        "AskModel",
        "TurnEnded",
        "Compact",
        "AskModel",
        "Finished",
    ]


def test_a_refused_length_is_made_shorter_once_and_asked_again() -> None:
    transcript = Transcript(conversation(200, "x" * 400), turn=10)
    answers = {AskModel: [TooLong(), Reply("Done.")], Compact: Reply("Much.")}
    facts, asked = run(spec(None), transcript, answers)
    assert [type(fact) for fact in facts] == [AskModel, Compact, AskModel, Finished]
    assert len(asked[1].messages) < len(asked[0].messages)
    assert [request.turn for request in asked] == [11, 11]


def test_what_cannot_be_made_shorter_is_asked_so_that_it_fails() -> None:
    transcript = Transcript(conversation(1), turn=1)
    facts, _ = run(spec(None), transcript, {AskModel: [TooLong(), Reply("Done.")]})
    assert [fact.may_be_shorter for fact in facts if isinstance(fact, AskModel)] == [True, False]


def test_a_summary_that_was_interrupted_is_asked_for_again() -> None:
    transcript = Transcript(conversation(30, "x" * 400), turn=30)
    answers = {Compact: [None, Reply("Thirty.")], AskModel: Reply("Done.")}
    facts, _ = run(spec(), transcript, answers)
    assert [type(fact) for fact in facts] == [Compact, Compact, AskModel, Finished]


def test_one_result_does_not_fill_the_window() -> None:
    long = conversation(1, "x" * 9000)
    shown = with_short_results(long, WINDOW, 4.0)
    assert len(shown[-1].content) <= WINDOW
    assert "left out" in shown[-1].content
    assert with_short_results(long, None, 4.0) == tuple(long)
    assert len(with_short_results(long, WINDOW, 1.0)[-1].content) <= WINDOW / 4


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=40), st.integers(2000, 4000))
def test_no_call_is_parted_from_its_result(lengths: list[int], window: int) -> None:
    messages = [Message(Role.USER, "Do it.")]
    for number, length in enumerate(lengths):
        messages += called(number, "x" * length)
        if number % 3 == 0:  # What a person says in the middle of a turn.
            messages.insert(-1, Message(Role.USER, "And mind the gap."))
    ordered = in_order(messages)
    kept = count_kept(ordered, window, 4.0)
    if not kept:
        return
    shorter = shortened(ordered, "A summary.", kept)
    asked = [each.call_id for message in shorter for each in message.tool_requests]
    answered = [message.call_id for message in shorter if message.role is Role.TOOL_RESULT]
    assert asked == answered
    assert shorter[0] == messages[0]
    assert len(shorter) < len(messages)
    # Of what is no longer sent nothing is left out of what is summed up.
    (told,) = request_for(ordered, kept, None, 4.0).messages
    assert told.content.count("RESULT OF Read") == len(lengths) - len(answered)


@pytest.mark.parametrize("characters", [3.9, 4.1])
def test_it_is_due_above_four_fifths_of_the_window(characters: float) -> None:
    said = Message(Role.USER, "x" * round(WINDOW * 0.8 * 4))
    request = ModelRequest(turn=1, system="", messages=(said,))
    is_due = compaction.is_too_long(request, WINDOW, characters_a_token=characters)
    assert is_due is (characters < 4)


def test_a_refusal_says_that_tokens_are_shorter_than_was_taken() -> None:
    """Of a window that 6,400 characters are too long for, half as many are kept as before."""
    transcript = Transcript(conversation(15, "x" * 400), turn=15)
    length = compaction.length_of(ModelRequest(16, "", tuple(transcript.messages)))
    answers = {AskModel: [TooLong(), Reply("Done.")], Compact: Reply("Much.")}
    facts, _ = run(spec(window := 2400), transcript, answers)
    assert [type(fact) for fact in facts] == [AskModel, Compact, AskModel, Finished]
    assert transcript.characters_a_token == length / window < 4
    compacted = facts[1]
    assert isinstance(compacted, Compact)
    assert 0 < compacted.kept < count_kept(conversation(15, "x" * 400), window, 4.0)
    assert compaction.length_of(compacted.request) < length


def test_the_tools_are_counted_as_the_model_counts_them() -> None:
    tool = ToolDescription("Read", "x" * 1000, {"type": "object"})
    bare = ModelRequest(1, "", (Message(Role.USER, "Do it."),))
    request = replace(bare, tools=(tool,))
    assert compaction.length_of(request) > 1000
    assert compaction.counted(request, Usage(1, 500, 1)) == compaction.length_of(request) / 500
    assert compaction.counted(request, Usage(1, 0, 1)) is None


@pytest.mark.parametrize(("thinking", "asked"), [(True, None), ("high", None), (False, False)])
def test_a_summary_is_asked_for_without_what_would_cut_it(thinking: Any, asked: Any) -> None:
    own = ModelSettings(max_tokens=100, thinking=thinking, top_p=0.5)
    assert compaction.settings_for_summary(own) == ModelSettings(thinking=asked, top_p=0.5)
