"""The context double keeps the contract of agent code; the examples are tested on it."""

from __future__ import annotations

import pytest

from agents.runtime import examples  # noqa: F401  Registers them.
from agents.runtime.context import ChildFailed, KeyReused, Waiting
from agents.runtime.facts import Reply, Role, ToolRequest, Usage
from agents.runtime.react import react
from agents.runtime.spec import RunSpec
from agents.runtime.testing import ContextDouble, carry_on


def test_echo() -> None:
    context = ContextDouble({"text": "hello"})
    assert carry_on("example.echo", context) == {"text": "hello"}
    assert [message.content for message in context.messages] == ["hello"]


def test_a_conversation_waits_for_each_turn_and_repeats_none() -> None:
    context = ContextDouble()
    for said in ("good morning", "how are you", "goodbye"):
        with pytest.raises(Waiting):
            carry_on("example.conversation", context)
        context.send("say", said)
    assert carry_on("example.conversation", context) == {"turns": 3, "last": "goodbye"}
    assert len(context.messages) == 6


def test_a_conversation_ends_when_nobody_speaks_for_a_day() -> None:
    context = ContextDouble()
    with pytest.raises(Waiting):
        carry_on("example.conversation", context)
    context.pass_time(24 * 3600 - 1)
    with pytest.raises(Waiting):
        carry_on("example.conversation", context)
    context.pass_time(1)
    assert carry_on("example.conversation", context) == {"turns": 0, "last": ""}


def test_jobs_are_run_and_joined() -> None:
    context = ContextDouble({"texts": ["one two", "three"]})
    assert carry_on("example.pipeline", context) == {"words": 3}


def test_what_is_streamed_is_seen_and_not_kept() -> None:
    context = ContextDouble({"lines": ["a b", "c"]})
    assert carry_on("example.streaming", context) == "a b\nc"
    assert [kind for kind, _ in context.streamed] == [
        "token", "token", "progress", "token", "progress", "data",
    ]  # fmt: skip


def test_checkpoints_are_gone_on_from() -> None:
    context = ContextDouble({"to": 4}, state={"total": 3, "after": 2})
    assert carry_on("example.checkpoints", context) == {"total": 10}
    assert [kept["after"] for kept in context.checkpoints] == [3, 4]


def test_children_are_joined_and_one_that_fails_is_told() -> None:
    def child(spawn):  # type: ignore[no-untyped-def]
        return {"sum": sum(spawn.values["numbers"])}

    context = ContextDouble({"numbers": [1, 2, 3, 4, 5], "share": 2}, children=child)
    assert carry_on("example.map_reduce", context) == {"sum": 15}

    def broken(spawn):  # type: ignore[no-untyped-def]
        raise RuntimeError("no fuel")

    context = ContextDouble({"numbers": [1, 2, 3], "share": 2}, children=broken)
    with pytest.raises(ChildFailed, match=r"'part-0' failed: no fuel"):
        carry_on("example.map_reduce", context)


def test_a_key_is_one_effect_and_never_another() -> None:
    context, calls = ContextDouble(), []
    assert context.step("a", lambda: calls.append(1) or 7) == 7
    assert context.step("a", lambda: calls.append(2) or 8) == 7
    assert calls == [1]
    with pytest.raises(KeyReused):
        context.checkpoint("a", {})
    context.append_entry("b", "text")
    with pytest.raises(KeyReused):
        context.append_entry("b", "another text")


def test_the_built_in_loop_is_a_kind_like_any_other() -> None:
    looks = Reply("", (ToolRequest("1", "Look", {"at": "x"}),), Usage(1, 2, 3))
    context = ContextDouble(
        replies=[looks, Reply("It is red.")], toolbox={"Look": lambda at: f"{at} is red"}
    )
    assert react(context) == "It is red."
    assert [message.role for message in context.messages] == [
        "assistant", "tool_result", "assistant",
    ]  # fmt: skip
    assert context.transcript.turn == 2


def test_the_built_in_loop_is_warned_of_its_turns_once() -> None:
    calls = [Reply("", (ToolRequest(f"c{n}", "Look", {}),)) for n in range(4)]
    context = ContextDouble(
        spec=RunSpec(model="scripted:play", max_turns=6),
        replies=[*calls, Reply("done")],
        toolbox={"Look": lambda: "nothing"},
    )
    assert react(context) == "done"
    said = [message.content for message in context.messages if message.role is Role.USER]
    assert said == ["You have used 4 of 6 turns; 2 are left. Come to an end."]
