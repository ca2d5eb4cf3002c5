"""Questions to people, and their answers, which a board remembers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from django.db import transaction
from django.utils import timezone

from agents.activity import Actor, Target, record
from agents.errors import Refusal
from agents.messages import Letter, notify, send
from agents.models import Agent, Audience, Message, MessageKind, MessageState
from boards.actions.memory import remember
from boards.errors import BoardNotFound
from boards.models import Board


class NotAQuestion(Refusal):
    """This message is no question to people."""

    code = "NOT_A_QUESTION"


class AlreadyAnswered(Refusal):
    """The question has its answer already."""

    code = "ALREADY_ANSWERED"


@dataclass(frozen=True, slots=True)
class Question:
    """What people are asked, and how the answer is to be remembered."""

    content: str
    correlation_id: str = ""
    preferred_channel: str = ""
    reply_tags: Sequence[str] = field(default_factory=tuple)
    reply_source: str = ""


@transaction.atomic
def ask_people(board: Board, question: Question, *, by: Actor) -> Message:
    """Ask the people of the organization. Raises GatewayUnreachable and GatewayFailed."""
    about = Target(board_id=board.id, agent_id=by.id)
    facts = {
        "preferred_channel": question.preferred_channel,
        "reply_tags": list(question.reply_tags),
        "reply_source": question.reply_source,
    }
    letter = Letter(
        MessageKind.QUESTION, question.content, None, about, question.correlation_id, facts
    )
    message = send(board.organization, letter, by=by)
    record(
        board.organization_id,
        "question.asked",
        by=by,
        target=about,
        message_id=str(message.id),
        correlation_id=question.correlation_id,
    )
    return message


@transaction.atomic
def answer(message: Message, content: str, *, by: Actor) -> Message:
    """Answer a question once: the board remembers it, and who asked is told.

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
    return locked


def _tell_who_asked(board: Board, question: Message, content: str, by: Actor) -> None:
    about = Target(board_id=board.id, agent_id=question.sender_id)
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
