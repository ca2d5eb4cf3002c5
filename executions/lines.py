"""The line of an execution: its own entries behind the past that it shares with its originals.

A fork has no copy of its past. Its line is that of its original up to `fork_position`, and so on
back, each a range of positions in one execution; positions count on without a gap.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet

from agents import prepared
from executions.models import Entry, Execution

# `until` narrows on the way back: of a fork that was itself forked within its past, a part only.
_STRETCHES = """
WITH RECURSIVE stretch AS (
  SELECT id, forked_from_id, coalesce(fork_position, 0) AS after, 2147483647 AS until, 0 AS back
  FROM executions_execution WHERE id = %(id)s
UNION ALL
  SELECT e.id, e.forked_from_id, coalesce(e.fork_position, 0),
         least(stretch.after, stretch.until), stretch.back + 1
  FROM stretch JOIN executions_execution AS e ON e.id = stretch.forked_from_id
)
"""
_LIST = f"{_STRETCHES} SELECT id, after, until FROM stretch ORDER BY back"  # noqa: S608  A constant.
# LATERAL with an order is one walk through an index for each stretch, whatever is estimated.
_ROWS = f"""{_STRETCHES}
SELECT entry.position, entry.id, entry.role, entry.content
FROM stretch CROSS JOIN LATERAL (
  SELECT position, id, role, content FROM executions_entry
  WHERE execution_id = stretch.id AND position > stretch.after AND position <= stretch.until
  ORDER BY position
) AS entry
"""  # noqa: S608  A constant.
_LEAF = f"""{_STRETCHES}
SELECT entry.id
FROM stretch CROSS JOIN LATERAL (
  SELECT id, position FROM executions_entry
  WHERE execution_id = stretch.id AND position > stretch.after
    AND position <= least(stretch.until, %(until)s)
  ORDER BY position DESC LIMIT 1
) AS entry
ORDER BY entry.position DESC LIMIT 1
"""  # noqa: S608  A constant.
# Read from the end of each execution's calls, which is what `one_row_a_tool_call` is in order of.
_LAST_CALL = f"""{_STRETCHES}
SELECT call.arguments
FROM stretch CROSS JOIN LATERAL (
  SELECT arguments FROM executions_toolcall
  WHERE execution_id = stretch.id AND reply_position > stretch.after
    AND reply_position <= stretch.until AND name = %(name)s AND status = 'complete'
  ORDER BY reply_position DESC, position DESC LIMIT 1
) AS call
ORDER BY stretch.back LIMIT 1
"""  # noqa: S608  A constant.
_LAST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """Positions above `after` and up to `until`, of one execution's own entries."""

    execution_id: UUID
    after: int
    until: int


def stretches(execution_id: UUID) -> list[Stretch]:
    """What its line is made of, its own stretch first; one that is empty is among them."""
    return [Stretch(*row) for row in prepared.rows(_LIST, {"id": execution_id})]


def originals(execution_id: UUID) -> list[UUID]:
    """The executions whose past it shares, the one that it was forked from first."""
    return [stretch.execution_id for stretch in stretches(execution_id)[1:]]


def entries(execution: Execution) -> QuerySet[Entry]:
    """Its whole line, in order."""
    found = Q()
    for each in stretches(execution.id):
        # Of what was never forked the upper bound is left out, and the index is its order.
        bound = {} if each.until == _LAST else {"position__lte": each.until}
        found |= Q(execution_id=each.execution_id, position__gt=each.after, **bound)
    return Entry.objects.filter(found).order_by("position")


def rows(execution: Execution) -> list[tuple[Any, ...]]:
    """`(position, id, role, content as JSON text)` of its whole line in order, in one statement."""
    found = prepared.rows(_ROWS, {"id": execution.id})
    # Each stretch comes in order; putting them together costs a comparison a row here, and would
    # make PostgreSQL move every content through its sort.
    found.sort(key=lambda row: int(row[0]))
    return found


def leaf(execution: Execution, *, until: int = _LAST) -> UUID | None:
    """The last entry of its line, or of the part of it up to a position."""
    row = prepared.first(_LEAF, {"id": execution.id, "until": until})
    return row[0] if row else None


def last_arguments(execution_id: UUID, tool: str) -> dict[str, Any] | None:
    """The arguments of the last call of this tool that ended well, in its whole line."""
    row = prepared.first(_LAST_CALL, {"id": execution_id, "name": tool})
    return dict(json.loads(row[0])) if row else None
