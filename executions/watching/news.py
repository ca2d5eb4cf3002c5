"""Reading what executions have told: rows alone are the truth of a stream."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from rest_framework.renderers import JSONRenderer

from executions.event_types import ENDS
from executions.models import TERMINAL, Event, Execution
from executions.transcript_serializers import EventSerializer

# How many events of one execution are read at once, and of many at least.
PAGE = 200
LEAST = 20

_SHAPE = EventSerializer()

# Each execution costs one descent of the index of its numbers, whether or not it has news.
_AFTER = """
SELECT event.* FROM unnest(%s::uuid[], %s::bigint[]) AS read (execution_id, seq)
CROSS JOIN LATERAL (
  SELECT * FROM executions_event AS row
  WHERE row.execution_id = read.execution_id AND row.seq > read.seq
  ORDER BY row.seq LIMIT %s
) AS event
"""

_TREE = """
WITH RECURSIVE tree AS (
  SELECT id, event_seq, status FROM executions_execution WHERE id = %s
  UNION
  SELECT child.id, child.event_seq, child.status
  FROM tree JOIN executions_execution AS child ON child.parent_id = tree.id
)
SELECT * FROM tree
"""


@dataclass(frozen=True, slots=True)
class Line:
    """An event, ready to be sent to any number of readers."""

    execution_id: UUID
    seq: int
    type: str
    at: datetime
    data: bytes

    @classmethod
    def of(cls, row: Event) -> Line:
        """The row as a line: as the list of events shows it, and of which execution it is."""
        shown = {"exec_id": row.execution_id, **_SHAPE.to_representation(row)}
        data = JSONRenderer().render(shown)
        return cls(row.execution_id, row.seq, row.type, row.created_at, data)

    @property
    def is_last(self) -> bool:
        """Whether no event of its execution follows."""
        return self.type in ENDS


@dataclass(frozen=True, slots=True)
class News:
    """What a look found: the next lines of each execution, and children not known so far.

    `cut` has the executions of which there may be more.
    """

    lines: Mapping[UUID, list[Line]]
    children: list[tuple[UUID, UUID]] = field(default_factory=list)
    cut: frozenset[UUID] = frozenset()

    def in_order(self) -> Iterator[Line]:
        """The lines in the order of their times, but those of one execution in that of numbers.

        Up to where there may be more of one: what follows belongs among what is read next.
        """
        for line in heapq.merge(*self.lines.values(), key=lambda line: line.at):
            yield line
            if line.execution_id in self.cut and line is self.lines[line.execution_id][-1]:
                return


@dataclass(frozen=True, slots=True)
class Member:
    """An execution of a stream: how many events it has, and whether it will have more."""

    id: UUID
    event_seq: int
    is_over: bool


def members(root: UUID, *, is_tree: bool) -> list[Member]:
    """The execution, and with `is_tree` all that stand below it."""
    rows: Iterable[Execution]
    if is_tree:
        rows = Execution.objects.raw(_TREE, [root])
    else:
        rows = Execution.objects.filter(pk=root).only("event_seq", "status")
    return [Member(row.id, row.event_seq, row.status in TERMINAL) for row in rows]


def read(
    reached: Mapping[UUID, int], parents: Collection[UUID] = (), known: Collection[UUID] = ()
) -> News:
    """What follows the numbers that were reached, and the children of `parents` not in `known`.

    Children are read last: when the last event of an execution is among the lines, all of its
    children are known.
    """
    limit = max(LEAST, PAGE // max(1, len(reached)))
    lines: dict[UUID, list[Line]] = defaultdict(list)
    for row in Event.objects.raw(_AFTER, [list(reached), list(reached.values()), limit]):
        lines[row.execution_id].append(Line.of(row))
    cut = frozenset(key for key, found in lines.items() if len(found) == limit)
    return News(lines, _children(parents, known) if parents else [], cut)


def _children(parents: Collection[UUID], known: Collection[UUID]) -> list[tuple[UUID, UUID]]:
    rows = Execution.objects.filter(parent__in=parents).exclude(pk__in=known)
    pairs = rows.order_by("id").values_list("parent_id", "id")
    return [(parent, child) for parent, child in pairs if parent is not None]
