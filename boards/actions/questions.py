"""Questions to people, and their answers, which a board remembers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from django.db import transaction
from django.utils import timezone
from rest_framework.exceptions import ValidationError as InvalidFields

from agents.activity import Actor, Target, record
from agents.errors import Refusal
from agents.messages import Letter, notify, send
from agents.models import Agent, Audience, Message, MessageKind, MessageState
from boards import answers
from boards.actions.memory import remember
from boards.errors import BoardNotFound
from boards.interviewers import OF_ONBOARDING
from boards.models import Board

# An execution hears the answer as a signal whose name ends with it.
CORRELATION_ID = r"^[A-Za-z0-9_.:/@-]*$"
LONGEST_CORRELATION_ID = 100


class NotAQuestion(Refusal):
    """This message is no question to people."""

    code = "NOT_A_QUESTION"


class AlreadyAnswered(Refusal):
    """The question has its answer already."""

    code = "ALREADY_ANSWERED"


@dataclass(frozen=True, slots=True)
class Question:
    """What people are asked, how the answer is to be remembered, and which execution hears it."""

    content: str
    correlation_id: str = ""
    preferred_channel: str = ""
    reply_tags: Sequence[str] = field(default_factory=tuple)
    reply_source: str = ""
    execution_id: UUID | None = None


@transaction.atomic
def ask_people(board: Board, question: Question, *, by: Actor) -> Message:
    """Ask the people of the organization; one without a correlation id has its own id as that.

    Raises ValidationError for a correlation id that no signal can be named after.
    """
    _check(question.correlation_id)
    about = Target(board_id=board.id, agent_id=by.id, execution_id=question.execution_id)
    facts = {
        "preferred_channel": question.preferred_channel,
        "reply_tags": list(question.reply_tags),
        "reply_source": question.reply_source,
    }
    letter = Letter(
        MessageKind.QUESTION, question.content, None, about, question.correlation_id, facts
    )
    message = send(board.organization, letter, by=by)
    if not message.correlation_id:
        message.correlation_id = str(message.id)
        message.save(update_fields=["correlation_id"])
    record(
        board.organization_id,
        "question.asked",
        by=by,
        target=about,
        message_id=str(message.id),
        correlation_id=message.correlation_id,
    )
    return message


@transaction.atomic
def answer(message: Message, content: str, *, by: Actor) -> Message:
    """Answer a question once: the board remembers it, and who asked is told, with its execution.

    Raises NotAQuestion, AlreadyAnswered, and BoardNotFound when the board is gone.
    """
    locked = Message.objects.select_for_update(no_key=True).get(pk=message.pk)
    if locked.audience != Audience.PEOPLE or locked.kind != MessageKind.QUESTION:
        raise NotAQuestion
    if locked.answer:
        raise AlreadyAnswered(answer=locked.answer)
    boards = Board.objects.select_related("organization")
    board = locked.board_id and boards.filter(pk=locked.board_id).first()
    if not board:
        raise BoardNotFound
    locked.answer, locked.state = content, MessageState.ACKNOWLEDGED
    locked.acknowledged_at = timezone.now()
    locked.save(update_fields=["answer", "state", "acknowledged_at"])
    source = locked.data.get("reply_source", "") or "answer"
    remember(board, content, by=by, tags=locked.data.get("reply_tags", ()), source=source)
    _tell_who_asked(board, locked, content, by)
    answers.tell(locked, by)
    return locked


def _check(correlation_id: str) -> None:
    is_short = len(correlation_id) <= LONGEST_CORRELATION_ID
    if not is_short or not re.fullmatch(CORRELATION_ID, correlation_id):
        raise InvalidFields(
            {
                "correlation_id": f"At most {LONGEST_CORRELATION_ID} letters, digits and the "
                "characters _.:/@-."
            }
        )
    if correlation_id.startswith(OF_ONBOARDING):
        raise InvalidFields(
            {"correlation_id": f"What begins with {OF_ONBOARDING} is asked by onboardings."}
        )


def _tell_who_asked(board: Board, question: Message, content: str, by: Actor) -> None:
    about = Target(
        board_id=board.id, agent_id=question.sender_id, execution_id=question.execution_id
    )
    record(
        board.organization_id,
        "question.answered",
        by=by,
        target=about,
        message_id=str(question.id),
        correlation_id=question.correlation_id,
    )
    agents = Agent.objects.select_related("gateway")
    asker = question.sender_id and agents.filter(pk=question.sender_id).first()
    if asker:
        letter = Letter(MessageKind.ANSWER, content, asker, about, question.correlation_id)
        notify(board.organization, letter, by=by)
