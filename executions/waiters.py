"""Waiting for executions to settle."""

from __future__ import annotations

from uuid import UUID

from agents.watching.loops import PerLoop
from agents.watching.rooms import Seen, WaitingRoom
from executions.models import Execution, Status
from executions.stream import channel

# An execution in one of these moves on by itself; in any other it has settled.
MOVING = (Status.QUEUED, Status.RUNNING, Status.CANCELLING)
_SHOWN = ("id", "status", "output", "usage", "failure_code", "failure_message", "failure_details")
_REASONS = ("pause_reason", "cancel_reason")


async def settled(execution: Execution, seconds: float) -> Execution:
    """The execution as it is once it no longer moves by itself, or after so many seconds.

    Its `status` tells which; after the time it is at most a second old.
    """
    if execution.status not in MOVING:
        return execution
    return await _waiting_room().wait(execution.id, seconds) or execution


def waiting() -> int:
    """How many waiters this loop has now."""
    return _waiting_room().count


def _look(ids: list[UUID]) -> dict[UUID, Seen[Execution]]:
    """Those that move with their status, those that have settled with what is shown of them."""
    found = Execution.objects.only("id", "status").in_bulk(ids)
    over = [key for key, row in found.items() if row.status not in MOVING]
    shown = Execution.objects.only(*_SHOWN, *_REASONS).in_bulk(over) if over else {}
    # One that was resumed between the two reads has not settled.
    return {key: Seen(row, row.status not in MOVING) for key, row in (found | shown).items()}


def _tells_of_events(hint: dict[str, object]) -> bool:
    # Tokens of a reply are published on the same channel.
    return "seq" in hint


_waiting_room = PerLoop(lambda: WaitingRoom(_look, channel, _tells_of_events))
