"""The built-in kind: a loop of model and tools, on the context that every kind is given."""

from __future__ import annotations

from typing import Any

from agents.runtime.context import Conversation
from agents.runtime.facts import (
    AskModel,
    Compact,
    Concluding,
    Fact,
    Finished,
    Inject,
    LimitReached,
    RunTool,
    TurnEnded,
    Unfit,
)
from agents.runtime.kinds import agent_kind
from agents.runtime.loop import Answer, decide


class OutputUnfit(Exception):
    """The model's answer does not fit the action's schema, and its tries are used up."""

    code = "OUTPUT_INVALID"


@agent_kind("react", version="", takes_messages=True)
def react(context: Conversation) -> Any:
    """Ask the model, run the tools that it asks for, and repeat until it answers."""
    spent = context.boundary()
    loop = decide(context.spec, context.transcript, context.tools, spent)
    answer: Answer = None
    while True:
        fact = loop.send(answer)
        if isinstance(fact, Finished):
            return fact.output
        answer = _carry_out(context, fact)


def _carry_out(context: Conversation, fact: Fact) -> Answer:
    match fact:
        case AskModel(request, may_be_shorter):
            return context.ask(request, may_be_shorter=may_be_shorter)
        case Compact(request, kept):
            return context.compact(request, kept)
        case RunTool(request, last):
            return context.call(request, is_last=last)
        case TurnEnded():
            return context.boundary()
        case Concluding():
            return context.hear_answers()
        case Inject(text):
            context.note(text)
        case LimitReached():
            context.stop_at_limit()
        case Unfit(problem):
            raise OutputUnfit(problem)
    return None
