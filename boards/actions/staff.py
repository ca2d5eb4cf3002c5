"""The workers of a board as its lead keeps them: created, and taught."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from agents.actions import configuration, create_agent, write_soul
from agents.activity import Actor, Target, record
from agents.errors import Refusal
from agents.messages import Letter, send_before_commit
from agents.models import Agent, MessageKind, SoulVersion
from boards.actions.boards import locked_board
from boards.actions.seats import seat_agent
from boards.allowed_tools import handed_on
from boards.errors import LeadsOnly
from boards.models import Board, Seat, SeatRole


class TooManyAgents(Refusal):
    """The board has as many workers as it may have."""

    code = "MAX_AGENTS_REACHED"


class AgentNameTaken(Refusal):
    """Another agent of the board has this name."""

    code = "AGENT_NAME_TAKEN"


@transaction.atomic
def create_worker(board: Board, lead: Agent, fields: Mapping[str, Any], *, by: Actor) -> Agent:
    """A new agent with a seat on the board, which may do no more than the lead that creates it.

    It has tools of the lead's, and its hooks; and what the lead needs a person for, it does too.
    Raises LeadsOnly, TooManyAgents, AgentNameTaken (names are the same in any case),
    ToolNotAllowed, and what `create_agent` raises.
    """
    locked = locked_board(board)
    own = _locked_lead(locked, lead)
    seats = Seat.objects.filter(board=locked)
    if seats.filter(role=SeatRole.WORKER).count() >= locked.max_agents:
        raise TooManyAgents(limit=locked.max_agents)
    if seats.filter(agent__name__iexact=fields["name"]).exists():
        raise AgentNameTaken(name=fields["name"])
    configuration.check_tool_names(fields.get("tools"))
    given = {
        **fields,
        "tools": handed_on(own, locked, fields.get("tools")),
        "approval_required": own.approval_required,
        "hooks": own.hooks,
    }
    agent = create_agent(locked.organization, given, by=by)
    seat_agent(locked, agent, by=by)
    return agent


def _locked_lead(board: Board, lead: Agent) -> Agent:
    """The lead as it is now and stays until the commit: an operator may just narrow its tools."""
    leads = Agent.objects.filter(seat__board=board, seat__role=SeatRole.LEAD)
    locked = leads.select_for_update(no_key=True, of=("self",)).filter(pk=lead.pk).first()
    if locked is None:
        raise LeadsOnly
    return locked


@transaction.atomic
def write_workers_soul(
    board: Board, agent: Agent, content: str, *, by: Actor, reason: str = "", source_url: str = ""
) -> SoulVersion:
    """Tell the agent its next soul and write it: both or neither.

    It is told first: nothing is locked while the other side answers, which may want the agent's
    row for a call of its own. Raises GatewayUnreachable and GatewayFailed.
    """
    about = Target(board_id=board.id, agent_id=agent.id)
    correlation = f"soul.write:{board.id}:{agent.id}"
    letter = Letter(MessageKind.SOUL, content, agent, about, correlation)
    send_before_commit(board.organization, letter, by=by)
    version = write_soul(agent, content, by=by, reason=reason, source_url=source_url)
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
