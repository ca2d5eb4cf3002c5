"""The workers of a board as its lead keeps them: created, and taught."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from agents.actions import create_agent, write_soul
from agents.activity import Actor, Target, record
from agents.errors import Refusal
from agents.messages import Letter, send
from agents.models import Agent, MessageKind, SoulVersion
from boards.actions.boards import locked_board
from boards.actions.seats import seat_agent
from boards.models import Board, Seat, SeatRole


class TooManyAgents(Refusal):
    """The board has as many workers as it may have."""

    code = "MAX_AGENTS_REACHED"


class AgentNameTaken(Refusal):
    """Another agent of the board has this name."""

    code = "AGENT_NAME_TAKEN"


@transaction.atomic
def create_worker(board: Board, fields: Mapping[str, Any], *, by: Actor) -> Agent:
    """A new agent with a seat on the board.

    Raises TooManyAgents, AgentNameTaken (names are the same in any case), and what `create_agent`
    raises.
    """
    locked = locked_board(board)
    seats = Seat.objects.filter(board=locked)
    if seats.filter(role=SeatRole.WORKER).count() >= locked.max_agents:
        raise TooManyAgents(limit=locked.max_agents)
    if seats.filter(agent__name__iexact=fields["name"]).exists():
        raise AgentNameTaken(name=fields["name"])
    agent = create_agent(locked.organization, fields, by=by)
    seat_agent(locked, agent, by=by)
    return agent


@transaction.atomic
def write_workers_soul(
    board: Board, agent: Agent, content: str, *, by: Actor, reason: str = "", source_url: str = ""
) -> SoulVersion:
    """Write the next version of a soul and tell the agent: both or neither.

    Raises GatewayUnreachable and GatewayFailed.
    """
    version = write_soul(agent, content, by=by, reason=reason, source_url=source_url)
    about = Target(board_id=board.id, agent_id=agent.id)
    correlation = f"soul.write:{board.id}:{agent.id}"
    letter = Letter(
        MessageKind.SOUL, content, agent, about, correlation, {"number": version.number}
    )
    send(board.organization, letter, by=by)
    record(
        board.organization_id,
        "agent.soul.sent",
        by=by,
        target=about,
        correlation_id=correlation,
        number=version.number,
    )
    return version


def record_soul_read(board: Board, agent: Agent, *, by: Actor) -> None:
    """Record that somebody read an agent's standing instructions."""
    record(
        board.organization_id,
        "agent.soul.read",
        by=by,
        target=Target(board_id=board.id, agent_id=agent.id),
        correlation_id=f"soul.read:{board.id}:{agent.id}",
    )
