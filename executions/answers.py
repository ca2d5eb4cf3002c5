"""People's answers to what an execution has asked: told to it as a signal, with the answer."""

from __future__ import annotations

import json

from agents.activity import Actor
from agents.models import Message
from agents.runtime.tools.text import clip
from executions import signals
from executions.engine import waits
from executions.models import TERMINAL
from executions.said import ANSWER, key_of

# Bytes of an answer that a signal has; JSON may write one byte as six.
_SHORTER = (60 * 1024, 30 * 1024, 10 * 1024)


def hear(question: Message, by: Actor) -> None:
    """Send the execution that asked the signal `answer:<correlation id>`, with the answer.

    In the transaction of the answer, so that neither is there without the other. One that has
    ended hears nothing: the board remembers what it was told. Raises `SignalsFull`.
    """
    execution = waits.locked(question.execution_id) if question.execution_id else None
    if execution is None or execution.status in TERMINAL:
        return
    signals.deliver(
        execution,
        name=f"{ANSWER}{question.correlation_id}",
        value=_fitting(question.answer),
        by=by,
        dedup_key=key_of(question),
    )


def _fitting(answer: str) -> str:
    """The answer, or as much of its head and tail as a signal can hold."""
    for most in _SHORTER:
        if len(json.dumps(answer, ensure_ascii=False).encode()) <= signals.LONGEST_VALUE:
            break
        answer, _ = clip(answer, most)
    return answer
