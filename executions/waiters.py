"""Waiting for executions to settle."""

from __future__ import annotations

from uuid import UUID

from agents.watching.loops import PerLoop
from agents.watching.rooms import Seen, WaitingRoom
from executions.models import Condition, Execution, Status
from executions.stream import channel

# An execution in one of these moves on by itself; in any other it has settled.
MOVING = (Status.QUEUED, Status.RUNNING, Status.CANCELLING)
_SHOWN = ("id", "status", "output", "usage", "failure_code", "failure_message", "failure_details")
_REASONS = ("pause_reason", "cancel_reason")


# What waits for these goes on by itself too.
_WORK = (Condition.Kind.JOB, Condition.Kind.CHILD)


async def settled(execution: Execution, seconds: float) -> Execution:
    """The execution as it is once it no longer moves by itself, or after so many seconds.

    Its `status` tells which; after the time it is at most a second old. One that waits for its own
    jobs and children moves by itself; one that waits for a person, a signal or a time has settled.
    """
    if execution.status not in (*MOVING, Status.WAITING):
        return execution
    return await _waiting_room().wait(execution.id, seconds) or execution


def waiting() -> int:
    """How many waiters this loop has now."""
    return _waiting_room().count


def _look(ids: list[UUID]) -> dict[UUID, Seen[Execution]]:
    """Those that move with their status, those that have settled with what is shown of them."""
    found = Execution.objects.only("id", "status").in_bulk(ids)
    waiting = [key for key, row in found.items() if row.status == Status.WAITING]
    at_work = _waiting_for_work(waiting)
    over = [key for key, row in found.items() if row.status not in MOVING and key not in at_work]
    shown = Execution.objects.only(*_SHOWN, *_REASONS).in_bulk(over) if over else {}
    # One that was resumed between the reads has not settled.
    return {
        key: Seen(row, row.status not in MOVING and key not in at_work)
        for key, row in (found | shown).items()
    }


def _waiting_for_work(waiting: list[UUID]) -> frozenset[UUID]:
    if not waiting:
        return frozenset()
    work = Condition.objects.filter(execution__in=waiting, kind__in=_WORK)
    return frozenset(work.order_by().values_list("execution_id", flat=True).distinct())


def _tells_of_events(hint: dict[str, object]) -> bool:
    # Tokens of a reply are published on the same channel.
    return "seq" in hint


_waiting_room = PerLoop(lambda: WaitingRoom(_look, channel, _tells_of_events))
