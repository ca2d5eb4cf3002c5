"""What is said to the leads of boards by agents that oversee them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from agents.actions import create_agent
from agents.activity import Actor, Target, record
from agents.messages import Letter, notify, send
from agents.models import Agent, Message, MessageKind
from agents.presence import RUNS_ITSELF
from boards.actions.boards import locked_board
from boards.actions.seats import seat_agent
from boards.models import Board, Seat, SeatRole


@dataclass(frozen=True, slots=True)
class Word:
    """What is said to a lead."""

    kind: MessageKind
    content: str
    correlation_id: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def to(self, lead: Agent, board: Board) -> Letter:
        about = Target(board_id=board.id, agent_id=lead.id)
        return Letter(self.kind, self.content, lead, about, self.correlation_id, self.facts)


@transaction.atomic
def message_lead(board: Board, word: Word, *, by: Actor, main: Agent) -> tuple[Agent, bool]:
    """Tell a board's lead; `(the lead, whether it was created for it)`.

    A board without a lead gets one that runs itself and is reached through the main agent's
    gateway. Raises GatewayUnreachable and GatewayFailed.
    """
    locked = locked_board(board)
    seat = _lead_seat(locked)
    lead = seat.agent if seat else _new_lead(locked, by, main)
    send(locked.organization, word.to(lead, locked), by=by)
    _note_sent(locked, lead, word, by)
    return lead, seat is None


@dataclass(frozen=True, slots=True)
class Told:
    """How one board's lead was told; `error` is empty when it was."""

    board: Board
    lead: Agent | None
    error: str = ""
    message: Message | None = None


@transaction.atomic
def broadcast(boards: Iterable[Board], word: Word, *, by: Actor) -> list[Told]:
    """Tell the lead of each board. What does not reach one is kept as a failed message."""
    return [_tell(board, word, by) for board in boards]


def keep_failed(results: Iterable[Told]) -> None:
    """Keep the messages of a broadcast that reached nobody, after it has been undone."""
    Message.objects.bulk_create(told.message for told in results if told.message)


def _tell(board: Board, word: Word, by: Actor) -> Told:
    seat = _lead_seat(board)
    if seat is None:
        return Told(board, None, "The board has no lead.")
    message = notify(board.organization, word.to(seat.agent, board), by=by)
    if not message.failure:
        _note_sent(board, seat.agent, word, by)
    return Told(board, seat.agent, message.failure, message)


def _note_sent(board: Board, lead: Agent, word: Word, by: Actor) -> None:
    record(
        board.organization_id,
        "lead.message.sent",
        by=by,
        target=Target(board_id=board.id, agent_id=lead.id),
        kind=word.kind,
        correlation_id=word.correlation_id,
    )


def _lead_seat(board: Board) -> Seat | None:
    seats = Seat.objects.select_related("agent__gateway")
    return seats.filter(board=board, role=SeatRole.LEAD).first()


def _new_lead(board: Board, by: Actor, main: Agent) -> Agent:
    fields = {"name": f"Lead of {board.name}"[:200], "kind": RUNS_ITSELF, "gateway": main.gateway}
    lead = create_agent(board.organization, fields, by=by)
    seat_agent(board, lead, by=by, role=SeatRole.LEAD)
    return lead
