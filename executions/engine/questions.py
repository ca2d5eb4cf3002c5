"""A turn that ends with questions to people open: their answers are waited for, and heard."""

from __future__ import annotations

from collections.abc import Sequence

from agents.models import Message
from boards.queries import open_questions
from executions.engine.conditions import Wait, Wanted
from executions.engine.run import Left, Run
from executions.models import Condition
from executions.said import ANSWER, MESSAGE

# Questions that a wait names; an answer to one more ends it as well.
MOST_NAMED = 50
_MOST_SHOWN = 200
_WHATEVER_IS_SAID = Wanted(Condition.Kind.SIGNAL, name=MESSAGE)
_ANY_ANSWER = Wanted(Condition.Kind.SIGNAL, name=f"{ANSWER}*")


def hear_answers(run: Run) -> bool:
    """Whether something was said that the model is to hear, which the transcript then has.

    While there are questions and no answer the run leaves, and goes on with the first that comes,
    or with a message; False where nothing is open. Raises `Left`.
    """
    if run.claim.execution.board_id is None:
        return False  # Questions are asked on boards.
    asked = list(open_questions(run.claim.id)[:MOST_NAMED])
    if not asked:
        return False
    if run.suspend(Wait(_wanted(asked))):
        raise Left
    return run.take_messages()


def _wanted(asked: Sequence[Message]) -> list[Wanted]:
    questions = [
        Wanted(Condition.Kind.QUESTION, name=each.content[:_MOST_SHOWN], target_id=each.id)
        for each in asked
    ]
    # One that was answered while the model wrote is not open any more, and not heard yet.
    return [*questions, _ANY_ANSWER, _WHATEVER_IS_SAID]
