"""Nudges: messages that re-engage an agent."""

from __future__ import annotations

from django.db import transaction

from agents.activity import Actor, Target, record
from agents.messages import Letter, send
from agents.models import Agent, Message, MessageKind
from boards.models import Board


@transaction.atomic
def nudge(board: Board, agent: Agent, content: str, *, by: Actor) -> Message:
    """Tell an agent of the board to go on. Raises GatewayUnreachable and GatewayFailed."""
    about = Target(board_id=board.id, agent_id=agent.id)
    correlation = f"nudge:{board.id}:{agent.id}"
    letter = Letter(MessageKind.NUDGE, content, agent, about, correlation)
    message = send(board.organization, letter, by=by)
    record(
        board.organization_id,
        "agent.nudge.sent",
        by=by,
        target=about,
        correlation_id=correlation,
        message_id=str(message.id),
    )
    return message


def record_failed_nudge(board: Board, agent: Agent, *, by: Actor, code: str) -> None:
    """Record that a nudge did not reach the agent; after its transaction has been undone."""
    record(
        board.organization_id,
        "agent.nudge.failed",
        by=by,
        target=Target(board_id=board.id, agent_id=agent.id),
        correlation_id=f"nudge:{board.id}:{agent.id}",
        code=code,
    )
