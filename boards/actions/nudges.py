"""Nudges: messages that re-engage an agent."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction

from agents import liveness
from agents.activity import Actor, Target, record
from agents.clock import clock
from agents.messages import Letter, send
from agents.models import Agent, Message, MessageKind


@transaction.atomic
def nudge(agent: Agent, content: str, *, board_id: UUID | None, by: Actor) -> Message:
    """Tell an agent to go on, on the board of its seat if it has one; the first try is the
    caller's (see `messages.send`).

    Raises GatewayUnreachable.
    """
    liveness.note_nudged([agent.pk], clock())
    return send(agent.organization, letter(agent, content, board_id=board_id), by=by)


def record_unreachable(agent: Agent, *, board_id: UUID | None, by: Actor, code: str) -> None:
    """Record a nudge that was not even written; after its transaction has been undone."""
    record(
        agent.organization_id,
        "agent.nudge.failed",
        by=by,
        target=Target(board_id=board_id, agent_id=agent.pk),
        correlation_id=_correlation(agent, board_id),
        code=code,
    )


def letter(agent: Agent, content: str, *, board_id: UUID | None, **facts: Any) -> Letter:
    """What an agent is told that is nudged."""
    about = Target(board_id=board_id, agent_id=agent.pk)
    correlation = _correlation(agent, board_id)
    return Letter(MessageKind.NUDGE, content, agent, about, correlation, facts)


def _correlation(agent: Agent, board_id: UUID | None) -> str:
    return f"nudge:{board_id}:{agent.pk}" if board_id else f"nudge:{agent.pk}"
