"""A reply without calls is taken as final once nothing is open that people were asked."""

from __future__ import annotations

from agents.runtime.facts import (
    AskModel,
    Concluding,
    Finished,
    Inject,
    Message,
    Reply,
    Role,
    TurnEnded,
    Usage,
)
from agents.runtime.limits import Limits, Spent
from agents.runtime.loop import decide
from agents.runtime.spec import RunSpec
from agents.runtime.transcript import Transcript

SPEC = RunSpec(model="scripted:play", output_schema={"type": "object"})
SPENT = Spent(1, Usage(), 0.0, Limits(50))


def ended_with(text: str) -> Transcript:
    return Transcript([Message(Role.USER, "Count."), Message(Role.ASSISTANT, text)], turn=1)


def test_what_waits_for_an_answer_is_not_judged_as_an_output() -> None:
    transcript = ended_with("I have asked, and wait.")
    loop = decide(SPEC, transcript, (), SPENT)
    assert isinstance(loop.send(None), Concluding)
    transcript.add(Message(Role.USER, "The barn owls."))
    assert loop.send(True) == TurnEnded(1), "a pause or a deadline is looked at before it goes on"
    asked = loop.send(SPENT)
    assert isinstance(asked, AskModel)
    assert [message.content for message in asked.request.messages] == [
        "Count.",
        "I have asked, and wait.",
        "The barn owls.",
    ]
    assert isinstance(loop.send(Reply('{"n": 3}')), Concluding)
    assert loop.send(False) == Finished({"n": 3})


def test_what_waits_for_nothing_is_judged() -> None:
    loop = decide(SPEC, ended_with("Three."), (), SPENT)
    loop.send(None)
    assert isinstance(loop.send(False), Inject)
