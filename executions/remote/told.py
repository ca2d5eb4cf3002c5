"""What a worker outside is told with every answer: its lease, and what is asked of its run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from agents.models import Agent
from agents.runtime.limits import Spent, reached
from executions import limits, signals
from executions.engine.run import MESSAGES
from executions.models import Execution, PauseReason, Signal, Status
from executions.said import MESSAGE

_SHOWN = (
    "status",
    "lease_expires_at",
    "claim_id",
    "cancel_is_hard",
    "pause_requested_at",
    "signals_pending",
    "turn",
    "usage",
    "max_turns",
    "token_budget",
    "seconds_budget",
    "agent_id",
)


def told(execution_id: UUID) -> dict[str, Any]:
    """How the execution stands now; after the claim has left it, without a lease."""
    row = Execution.objects.only(*_SHOWN).get(pk=execution_id)
    spent = limits.spent_of(row)
    is_cancelling = row.status == Status.CANCELLING
    return {
        "status": row.status,
        "lease_expires_at": row.lease_expires_at,
        "cancel": is_cancelling,
        "hard": is_cancelling and row.cancel_is_hard,
        "pause": why_pause(row, spent) or None if row.status == Status.RUNNING else None,
        "messages": [shown(signal) for signal in _messages(row)],
        "remaining": _remaining(spent),
    }


def why_pause(row: Execution, spent: Spent) -> str:
    """Why a run should stand still at its next boundary, or empty.

    A person's word holds longer than the agent's pause, and that longer than a limit.
    """
    if row.pause_requested_at is not None:
        return PauseReason.OPERATOR
    if row.agent_id and Agent.objects.filter(pk=row.agent_id, is_paused=True).exists():
        return PauseReason.AGENT
    return reached(spent)


def shown(signal: Signal) -> dict[str, Any]:
    """A signal as workers outside see it."""
    return {
        "number": signal.number,
        "name": signal.name,
        "value": signal.value,
        "sender": signal.sender,
        "created_at": signal.created_at,
    }


def _messages(row: Execution) -> list[Signal]:
    """What people have said to the run, and it has not taken in hand."""
    if row.claim_id is None or not row.signals_pending:
        return []
    pending = signals.pending(row.id, MESSAGE).exclude(reserved_by=row.claim_id)
    return list(pending[:MESSAGES])


def _remaining(spent: Spent) -> dict[str, Any]:
    """What is left of its limits; of what has none, None."""
    has = spent.limits
    tokens = spent.usage.input_tokens + spent.usage.output_tokens
    return {
        "turns": max(0, has.turns - spent.turns),
        "tokens": None if has.tokens is None else max(0, has.tokens - tokens),
        "seconds": None if has.seconds is None else max(0.0, has.seconds - spent.seconds),
    }
