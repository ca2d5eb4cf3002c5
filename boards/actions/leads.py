"""What is said to the leads of boards by agents that oversee them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from agents.actions import create_agent
from agents.activity import Actor, Target
from agents.errors import GatewayUnreachable
from agents.messages import Letter, keep, send
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
def message_lead(board: Board, word: Word, *, by: Actor, main: Agent) -> tuple[Message, bool]:
    """Tell a board's lead; `(the message, whether the lead was created for it)`.

    A board without a lead gets one that runs itself and is reached through the main agent's
    gateway. The first try is the caller's (see `messages.send`). Raises GatewayUnreachable.
    """
    locked = locked_board(board)
    found = _leads_of([locked]).get(locked.id)
    lead = found or _new_lead(locked, by, main)
    return send(locked.organization, word.to(lead, locked), by=by), found is None


@dataclass(frozen=True, slots=True)
class Told:
    """How one board's lead was told; `problem` is empty where it was written to it."""

    board: Board
    lead: Agent | None
    message: Message | None = None
    problem: str = ""


@transaction.atomic
def broadcast(boards: Sequence[Board], word: Word, *, by: Actor) -> list[Told]:
    """Write to the lead of each board; the first tries are the caller's (see `messages.send`)."""
    found = _leads_of(boards)
    return [_tell(board, found.get(board.id), word, by) for board in boards]


def _tell(board: Board, lead: Agent | None, word: Word, by: Actor) -> Told:
    if lead is None:
        return Told(board, None, problem="The board has no lead.")
    letter = word.to(lead, board)
    try:
        return Told(board, lead, send(board.organization, letter, by=by))
    except GatewayUnreachable as refusal:
        problem = str(refusal.detail)
        return Told(board, lead, keep(board.organization, letter, problem, by=by), problem)


def _leads_of(boards: Sequence[Board]) -> dict[UUID, Agent]:
    """The leads by the ids of their boards; a board without one is missing."""
    seats = Seat.objects.select_related("agent__gateway").filter(role=SeatRole.LEAD)
    return {seat.board_id: seat.agent for seat in seats.filter(board__in=boards)}


def _new_lead(board: Board, by: Actor, main: Agent) -> Agent:
    fields = {"name": f"Lead of {board.name}"[:200], "kind": RUNS_ITSELF, "gateway": main.gateway}
    lead = create_agent(board.organization, fields, by=by)
    seat_agent(board, lead, by=by, role=SeatRole.LEAD)
    return lead
