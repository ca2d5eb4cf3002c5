"""Children: executions that an execution has spawned, and what goes up and down between them.

Of two rows that one transaction locks, the parent's comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from uuid_utils.compat import uuid7

from agents.activity import SYSTEM
from agents.clock import ClockTimestamp
from executions import actions, stream
from executions.engine import conditions, waits
from executions.engine.ends import after_an_end
from executions.errors import ExecutionState, NotCancellable
from executions.models import LIVE, TERMINAL, Condition, Event, Execution, Status

# How many executions may stand above one: a kind that spawns itself without an end is a mistake.
DEEPEST = 8
BROKEN = (Status.FAILED, Status.CANCELLED)


@after_an_end
def tell_parent(child: Execution) -> None:
    """Tell the parent of an execution that has ended, once; it may be what it waits for."""
    if child.parent_id is None:
        return
    with transaction.atomic():
        parent = waits.locked(child.parent_id)
        if parent is None or not _is_first_to_tell(child):
            return
        if parent.status not in TERMINAL:
            _note(parent, child)
        if conditions.mark_one(parent.id, Condition.Kind.CHILD, child.id):
            waits.wake(parent, reason="child")


def _note(parent: Execution, child: Execution) -> None:
    Execution.objects.filter(pk=parent.pk).update(event_seq=F("event_seq") + 1)
    parent.refresh_from_db(fields=["event_seq"])
    Event.objects.create(
        id=uuid7(),
        execution=parent,
        seq=parent.event_seq,
        type="child.finished",
        data=_facts(child),
    )
    stream.publish_on_commit(parent)


@after_an_end
def cancel_children(parent: Execution) -> None:
    """Cancel what an execution that failed or was cancelled has spawned and not seen end."""
    if parent.status not in BROKEN:
        return
    for child in Execution.objects.filter(parent=parent, status__in=LIVE).only("id"):
        cancel_orphan(child)


def cancel_orphan(child: Execution) -> None:
    """Cancel a child whose parent has failed or was cancelled; one that has ended stays."""
    try:
        actions.cancel(child, by=SYSTEM, reason="Its parent has ended without it.")
    except (ExecutionState, NotCancellable):
        return


def tell_of_ended(parent: UUID, children: Sequence[UUID]) -> list[dict[str, str]]:
    """What the events of these children's ends say, of those whose parent was not told yet.

    For a commit of the parent, which holds its row, and comes to know of them by looking. A fork
    looks at children of its original too, and leaves it to them to tell their parent.
    """
    mine = Execution.objects.filter(pk__in=children, parent=parent)
    untold = mine.filter(status__in=TERMINAL, told_parent_at=None)
    ended = [row for row in untold.only("id", "status") if _is_first_to_tell(row)]
    return [_facts(child) for child in ended]


def _is_first_to_tell(child: Execution) -> bool:
    """Whether nobody has told the parent, whose row is held, of this end."""
    ended = Execution.objects.filter(pk=child.pk, status__in=TERMINAL, told_parent_at=None)
    return bool(ended.update(told_parent_at=ClockTimestamp()))


def _facts(child: Execution) -> dict[str, str]:
    return {"child": str(child.id), "status": str(child.status)}


def results(children: QuerySet[Execution]) -> dict[UUID, dict[str, Any]]:
    """Where each child is, with its output once it has one."""
    rows = children.only("id", "status", "output", "failure_code", "failure_message")
    return {
        row.id: {
            "status": str(row.status),
            "output": row.output,
            "failure_code": row.failure_code,
            "failure_message": row.failure_message,
        }
        for row in rows
    }
