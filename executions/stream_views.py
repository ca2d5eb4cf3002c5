"""Streams of executions: of one, and of one with all that it has spawned."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

from django.http import HttpRequest

from agents.rest.events import Sort, Wanted, event_stream
from agents.views.streams import readable
from executions import event_types
from executions.errors import ExecutionNotFound
from executions.models import Execution
from executions.watching import cursor
from executions.watching.readers import Reader

_SHOWN = """
What the run shows while it works comes between them, without an `id`, and is not kept: pieces of
the model's reply (`token`, `thinking`: `text`), and `tool_output`, `progress`, `data`, `error` of
tools and agent code. Each has its `turn`, pieces of a reply also the `attempt` where that is known.
`reset` says that the reply of the turn begins anew, and `reload` that pieces were left out because
they were not read fast enough; events never are. A comment every 15 seconds shows that it is alive.
It ends when its reader may no longer read.
"""
_ONE = f"""
The events of an execution, whenever it is opened: `id:` the event's `seq`, `event:` its type,
`data:` the event as `/events` shows it, with its `exec_id`. It begins after the place that is
given, or with the first event, and ends after the last.
{_SHOWN}"""
_TREE = f"""
The events of an execution and of all that it has spawned, and they in turn: `id:` an opaque place,
`event:` the type, `data:` the event as `/events` shows it, with its `exec_id`. Those of one
execution are in their order. It ends when all of them have ended.
{_SHOWN}"""


def _execution(request: HttpRequest, exec_id: UUID) -> UUID:
    organization = readable(request)
    if not Execution.objects.filter(organization=organization, pk=exec_id).exists():
        raise ExecutionNotFound
    return exec_id


def _chunks_of_one(wanted: Wanted[UUID, int], silence: float) -> AsyncGenerator[bytes]:
    reader = Reader(wanted.subject, wanted.types, is_of_tree=False)
    return reader.chunks({cursor.key(wanted.subject): wanted.after or 0}, silence)


def _chunks_of_tree(wanted: Wanted[UUID, cursor.Place], silence: float) -> AsyncGenerator[bytes]:
    reader = Reader(wanted.subject, wanted.types, is_of_tree=True)
    return reader.chunks(wanted.after or {}, silence)


stream = event_stream(
    Sort(_ONE, event_types.types, cursor.number, _chunks_of_one),
    _execution,
    operation_id="executions_stream",
    summary="Stream the events of an execution",
)
consolidated = event_stream(
    Sort(_TREE, event_types.types, cursor.parse, _chunks_of_tree),
    _execution,
    operation_id="executions_stream_consolidated",
    summary="Stream the events of an execution and its children",
)
