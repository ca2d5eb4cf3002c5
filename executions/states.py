"""The table of moves between states, and the one guarded update that makes a move.

Every move but `running → cancelling` adds one to `epoch`, so that whatever was sent or claimed
under the old state finds nothing to write to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from django.conf import settings
from django.db import connection
from django.db.models import F, QuerySet
from django.db.models.sql import UpdateQuery
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from agents.clock import ClockTimestamp
from executions.errors import ExecutionState
from executions.models import TERMINAL, Execution, Status

MOVES: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.WAITING, Status.PAUSED}),
    Status.RUNNING: frozenset({Status.QUEUED}),
    Status.WAITING: frozenset({Status.RUNNING, Status.PAUSED}),
    Status.PAUSED: frozenset({Status.QUEUED, Status.RUNNING, Status.WAITING}),
    Status.CANCELLING: frozenset({Status.RUNNING}),
    Status.CANCELLED: frozenset({Status.QUEUED, Status.WAITING, Status.PAUSED, Status.CANCELLING}),
    Status.COMPLETED: frozenset({Status.RUNNING, Status.PAUSED}),
    Status.FAILED: frozenset({Status.QUEUED, Status.RUNNING, Status.WAITING}),
}


# What ends with the old state: a claim and a permit with `running`, a reason with `paused`.
_LEFT_BEHIND: dict[str, Any] = {
    "claim_id": None,
    "lease_expires_at": None,
    "admitted_epoch": None,
    "admitted_at": None,
    "sent_at": None,
    "blocked_by": "",
    "pause_reason": "",
    "pause_requested_at": None,
}

_MOVED = """
WITH moved AS ({update} RETURNING *), event AS (
  INSERT INTO executions_event (id, execution_id, seq, type, data, created_at)
  SELECT %s, id, event_seq, %s, %s, clock_timestamp() FROM moved
)
SELECT * FROM moved
"""


def move(
    execution: Execution,
    to: Status,
    *,
    event: str,
    facts: Mapping[str, Any] | None = None,
    frm: Iterable[Status] | None = None,
    guard: Mapping[str, Any] | None = None,
    **fields: Any,
) -> bool:
    """Move the row where it is in one of `frm` (default: all that the table allows).

    Writes the event of the move. `guard` narrows the row further (a claim), `fields` are set with
    it. Returns whether it moved; the instance then shows the new row, and the caller's
    transaction holds its lock.
    """
    allowed = MOVES[to] if frm is None else frozenset(frm)
    assert allowed <= MOVES[to], f"{set(allowed)} to {to} is not in the table"
    changes: dict[str, Any] = {"status": to, "event_seq": F("event_seq") + 1, **fields}
    if to is not Status.CANCELLING:
        changes = {**_LEFT_BEHIND, **changes, "epoch": F("epoch") + 1}
    if to in TERMINAL:
        changes["finished_at"] = ClockTimestamp()
    rows = Execution.objects.filter(pk=execution.pk, status__in=allowed, **(guard or {}))
    moved = _update(rows, changes, event=event, facts=dict(facts or {}))
    if moved is None:
        return False
    for field in Execution._meta.concrete_fields:
        setattr(execution, field.attname, getattr(moved, field.attname))
    return True


def _update(
    rows: QuerySet[Execution], changes: Mapping[str, Any], *, event: str, facts: dict[str, Any]
) -> Execution | None:
    """Update the one row and insert its event, in one statement: the new row, if it was there.

    Django's own `update()` returns a count and takes no further statement around it; of its public
    interface nothing else renders an update (5.2).
    """
    query = cast("UpdateQuery", rows.query.chain(UpdateQuery))
    query.add_update_values(dict(changes))
    update, parameters = query.get_compiler(connection=connection).as_sql()
    written = Execution.objects.raw(
        _MOVED.format(update=update), [*parameters, uuid7(), event, Jsonb(facts)]
    )
    return next(iter(written), None)


def refusal(execution: Execution, to: Status) -> ExecutionState:
    """The refusal that names the state in the way and the states that would do."""
    execution.refresh_from_db(fields=["status"])
    return ExecutionState(
        f"The execution is {execution.status}.",
        # Of a problem, `status` is that of HTTP (RFC 9457).
        execution_status=str(execution.status),
        allowed=sorted(str(status) for status in MOVES[to]),
    )


def rank(queued_at: datetime, priority: int) -> datetime:
    """The place in the queue: age, with each step of priority worth one ageing interval.

    Fixed when the row is queued, so that the queue's order is an index; a low priority that has
    waited long enough stands before a fresh high one.
    """
    return queued_at + (priority - 1) * settings.EXECUTION_AGEING
