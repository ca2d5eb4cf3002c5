"""Who can be given a task."""

from __future__ import annotations

from uuid import UUID

from agents.models import Agent
from boards.errors import AssigneeElsewhere, AssigneeIsLead, ForeignAgent
from boards.models import Board, Seat, SeatRole
from boards.rules import Part


def check_assignee(board: Board, agent: Agent | None, *, part: Part) -> None:
    """Nothing, if somebody in this part may give the agent a task of the board.

    Raises ForeignAgent (404) for an agent of another organization and, asked by a lead, for one
    without a seat; AssigneeElsewhere (409) for one seated on another board; AssigneeIsLead (403)
    where a lead names a lead.
    """
    if agent is None:
        return
    if agent.organization_id != board.organization_id:
        raise ForeignAgent
    seat = Seat.objects.filter(agent=agent).first()
    if seat is None:
        if part is not Part.OPERATOR:
            raise ForeignAgent
        return
    if seat.board_id != board.id:
        raise AssigneeElsewhere
    if part is Part.LEAD and seat.role == SeatRole.LEAD:
        raise AssigneeIsLead


def lead_of(board: Board) -> UUID | None:
    """The id of the board's lead."""
    seats = Seat.objects.filter(board=board, role=SeatRole.LEAD)
    return seats.values_list("agent_id", flat=True).first()


def still_seated(board: Board, agent_id: UUID | None) -> UUID | None:
    """The agent, if it still has its seat on this board."""
    if agent_id is None:
        return None
    seats = Seat.objects.filter(board=board, agent_id=agent_id)
    return seats.values_list("agent_id", flat=True).first()
