"""Which signals are said to a conversation: messages, and people's answers to its questions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from agents.models import Message
from executions.models import Signal

# Steers a run: every kind of agent that converses takes these at its boundaries.
MESSAGE = "message"
# What the name of an answer begins with; it ends with the question's correlation id.
ANSWER = "answer:"
# What the key of an answer begins with; it ends with the question's id.
OF_QUESTION = "question:"
# Of a question, in the words that give its answer.
_MOST_QUOTED = 500


def said(execution_id: UUID) -> QuerySet[Signal]:
    """What was said to an execution and is not consumed, in order."""
    rows = Signal.objects.filter(execution=execution_id, consumed_at=None)
    return rows.filter(Q(name=MESSAGE) | Q(name__startswith=ANSWER)).order_by("number")


def texts_of(found: Sequence[Signal]) -> list[str]:
    """Each as the model is told it: a message in its own words, an answer with its question."""
    questions = _questions_of(found)
    return [
        text_of(signal.value)
        if signal.name == MESSAGE
        else _answer(signal, questions.get(signal.dedup_key))
        for signal in found
    ]


def text_of(value: Any) -> str:
    """What a message says: a text, or an object with one."""
    said = value.get("text", value) if isinstance(value, dict) else value
    return said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)


def key_of(question: Message) -> str:
    """The key under which the answer to a question is sent."""
    return f"{OF_QUESTION}{question.id}"


def _questions_of(found: Sequence[Signal]) -> Mapping[str, Message]:
    """The questions that are answered, by the keys of their answers."""
    names = {each.name.removeprefix(ANSWER) for each in found if each.name != MESSAGE}
    if not names:
        return {}
    executions = {each.execution_id for each in found}
    asked = Message.objects.filter(execution_id__in=executions, correlation_id__in=names)
    return {key_of(question): question for question in asked.exclude(answer="")}


def _answer(signal: Signal, question: Message | None) -> str:
    """An answer, fenced: what is between the fences is what a person said, and nothing else."""
    name = signal.name.removeprefix(ANSWER)
    who = signal.sender_name or "Somebody"
    text = text_of(signal.value)
    fence = _fence_around(text)
    asked = f"\nYou asked: {_quoted(question.content)}" if question else ""
    return (
        f"{who} has answered your question {name}.{asked}\n"
        f"What a person said is between the lines of backticks:\n{fence}\n{text}\n{fence}"
    )


def _quoted(asked: str) -> str:
    shown = asked if len(asked) <= _MOST_QUOTED else f"{asked[:_MOST_QUOTED]}…"
    return json.dumps(shown, ensure_ascii=False)


def _fence_around(text: str) -> str:
    """Backticks, more than the text has in a row."""
    longest = max(map(len, re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)
