"""What a waiting execution waits for, as rows: put down, looked at, and marked when they hold.

Whoever looks or marks holds the execution's row, in a statement of its own before this one: a
look inside the statement that waited for the lock would see what was there before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from uuid_utils.compat import uuid7

from agents import prepared
from agents.clock import ClockTimestamp
from executions.models import Condition, Execution, WaitMode

# What is gone will not come about any more: nobody waits for it for ever.
_HOLDS = """
CASE c.kind
  WHEN 'timer' THEN c.due_at <= clock_timestamp()
  WHEN 'signal' THEN EXISTS (
    SELECT FROM executions_signal AS s
    WHERE s.execution_id = c.execution_id AND s.consumed_at IS NULL
      AND s.name LIKE replace(replace(replace(c.name, '\\', '\\\\'), '_', '\\_'), '*', '%%'))
  WHEN 'job' THEN NOT EXISTS (
    SELECT FROM executions_job AS j
    WHERE j.id = c.target_id AND j.status IN ('queued', 'running'))
  WHEN 'child' THEN NOT EXISTS (
    SELECT FROM executions_execution AS e
    WHERE e.id = c.target_id AND e.status NOT IN ('completed', 'failed', 'cancelled'))
  WHEN 'approval' THEN NOT EXISTS (
    SELECT FROM boards_approval AS a WHERE a.id = c.target_id AND a.status = 'pending')
  WHEN 'tool_call' THEN NOT EXISTS (
    SELECT FROM executions_toolcall AS t
    WHERE t.id = c.target_id AND t.status = 'awaiting_approval' AND t.decision = '')
  WHEN 'question' THEN NOT EXISTS (
    SELECT FROM agents_message AS m
    WHERE m.id = c.target_id AND m.answer = '' AND m.state <> 'failed')
END
"""
_MARK = f"""
UPDATE executions_condition AS c SET met_at = clock_timestamp()
WHERE c.execution_id = %(execution)s AND c.met_at IS NULL AND {_HOLDS}
RETURNING c.id
"""  # noqa: S608  Of constants alone.
# Of executions that are waiting, those that something came about for without a word of it.
_UNTOLD = f"""
SELECT DISTINCT c.execution_id
FROM executions_condition AS c
JOIN executions_execution AS w ON w.id = c.execution_id AND w.status = 'waiting'
WHERE c.met_at IS NULL AND {_HOLDS}
LIMIT %(most)s
"""  # noqa: S608  Of constants alone.
_MARK_ONE = """
UPDATE executions_condition SET met_at = clock_timestamp()
WHERE execution_id = %(execution)s AND kind = %(kind)s AND target_id = %(target)s
  AND met_at IS NULL
RETURNING id
"""
_IS_OVER = """
SELECT coalesce(bool_or(c.met_at IS NOT NULL) FILTER (WHERE c.kind = 'timer'), false)
    OR CASE WHEN %(mode)s = 'any'
       THEN coalesce(bool_or(c.met_at IS NOT NULL) FILTER (WHERE c.kind <> 'timer'), false)
       ELSE coalesce(bool_and(c.met_at IS NOT NULL) FILTER (WHERE c.kind <> 'timer'), false)
       END
FROM executions_condition AS c WHERE c.execution_id = %(execution)s
"""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One thing that is waited for: a signal by name or pattern, or anything else by its id.

    Of a tool call `name` is the tool, of a question what it asks, for people.
    """

    kind: Condition.Kind
    name: str = ""
    target_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """What ends a wait: any or all of `wanted`, or in either case so many seconds."""

    wanted: Sequence[Wanted] = ()
    mode: WaitMode = WaitMode.ANY
    seconds: float | None = None
    reason: str = ""


def put(execution: Execution, number: int, wait: Wait) -> None:
    """Put a wait's conditions down; `number` is the wait's."""
    rows = [
        Condition(
            execution=execution,
            wait_number=number,
            kind=wanted.kind,
            name=wanted.name,
            target_id=wanted.target_id,
            reason=wait.reason,
        )
        for wanted in wait.wanted
    ]
    Condition.objects.bulk_create(rows)
    if wait.seconds is not None:
        Condition.objects.create(
            id=uuid7(),
            execution=execution,
            wait_number=number,
            kind=Condition.Kind.TIMER,
            reason=wait.reason,
            due_at=ClockTimestamp() + timedelta(seconds=wait.seconds),
        )


def mark(execution_id: UUID) -> None:
    """Mark every condition of an execution that holds now."""
    prepared.rows(_MARK, {"execution": execution_id})


def mark_one(execution_id: UUID, kind: Condition.Kind, target_id: UUID) -> bool:
    """Mark what waits for this one thing; whether anything does."""
    met = {"execution": execution_id, "kind": str(kind), "target": target_id}
    return bool(prepared.rows(_MARK_ONE, met))


def is_over(execution_id: UUID, mode: str) -> bool:
    """Whether what is marked ends the wait."""
    row = prepared.first(_IS_OVER, {"execution": execution_id, "mode": str(mode)})
    return bool(row and row[0])


def untold(most: int) -> list[UUID]:
    """Waiting executions for which something holds that is not marked: a word was lost."""
    return [row[0] for row in prepared.rows(_UNTOLD, {"most": most})]


def drop(execution_id: UUID) -> None:
    """Leave the wait: nothing of it can fire any more."""
    Condition.objects.filter(execution=execution_id).delete()
