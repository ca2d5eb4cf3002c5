"""Nudges: messages that re-engage an agent."""

from __future__ import annotations

from agents.activity import Actor, Target, record
from agents.messages import Letter, send
from agents.models import Agent, Message, MessageKind
from boards.models import Board


def nudge(board: Board, agent: Agent, content: str, *, by: Actor) -> Message:
    """Tell an agent of the board to go on; the first try is the caller's (see `messages.send`).

    Raises GatewayUnreachable.
    """
    letter = Letter(
        MessageKind.NUDGE, content, agent, _about(board, agent), _correlation(board, agent)
    )
    return send(board.organization, letter, by=by)


def record_unreachable(board: Board, agent: Agent, *, by: Actor, code: str) -> None:
    """Record a nudge that was not even written; after its transaction has been undone."""
    record(
        board.organization_id,
        "agent.nudge.failed",
        by=by,
        target=_about(board, agent),
        correlation_id=_correlation(board, agent),
        code=code,
    )


def _about(board: Board, agent: Agent) -> Target:
    return Target(board_id=board.id, agent_id=agent.id)


def _correlation(board: Board, agent: Agent) -> str:
    return f"nudge:{board.id}:{agent.id}"
