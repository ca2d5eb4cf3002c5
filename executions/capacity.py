"""How much runs at once and what has the places, who waits for one, and telling those who wait.

Everything is counted from rows; the permits of Redis are a superset of them only for moments.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

import redis
from django.db.models import QuerySet
from django.db.models.functions import Now

from agents.models import Organization
from agents.redis import client, note_silence
from boards.models import Board
from executions import documents, queries, stream
from executions.models import Execution
from executions.queries import QueuePlace

logger = logging.getLogger(__name__)

HOLDERS_SHOWN = 100
# Of one queue, as many as hear of their new place after one walk; the others read it.
TOLD_AT_MOST = 200


@dataclass(frozen=True, slots=True)
class Capacity:
    """The places of a board or organization; without a `limit` there is always one free."""

    limit: int | None
    held: int
    queued: int
    max_queue: int | None
    is_paused: bool
    holders: Sequence[dict[str, Any]]

    @property
    def free(self) -> int | None:
        return None if self.limit is None else max(0, self.limit - self.held)


def of_board(board: Board) -> Capacity:
    """The places of a board; without a limit of what runs, its queue has none either."""
    max_queue = board.max_queue if board.max_concurrent is not None else None
    return _capacity(
        _admitted(board.organization_id).filter(board=board),
        queries.queued_in(board.organization_id, board.id),
        limit=board.max_concurrent,
        max_queue=max_queue,
        is_paused=board.is_paused,
    )


def of_organization(organization: Organization) -> Capacity:
    """The places of an organization; only boards bound their queues."""
    return _capacity(
        _admitted(organization.id),
        queries.queued_in(organization.id, None),
        limit=organization.max_concurrent,
        max_queue=None,
        is_paused=False,
    )


def document(capacity: Capacity) -> dict[str, Any]:
    """The places as the API shows them."""
    return asdict(capacity) | {"free": capacity.free}


def _admitted(organization_id: UUID) -> QuerySet[Execution]:
    return Execution.objects.filter(organization_id=organization_id, admitted_epoch__isnull=False)


def _capacity(
    admitted: QuerySet[Execution], queued: QuerySet[Execution], **limits: Any
) -> Capacity:
    return Capacity(
        held=admitted.count(), queued=queued.count(), holders=_holders(admitted), **limits
    )


_HOLDER = {
    "exec_id": "pk",
    "status": "status",
    "agent": "agent_id",
    "agent_name": "agent_name",
    "board": "board_id",
    "task": "task_id",
    "admitted_at": "admitted_at",
}


def _holders(admitted: QuerySet[Execution]) -> list[dict[str, Any]]:
    """Who has had its place longest, first."""
    rows = admitted.order_by("admitted_at", "pk").annotate(read_at=Now())
    found = rows.values_list("read_at", *_HOLDER.values())[:HOLDERS_SHOWN]
    holders = [(now, dict(zip(_HOLDER, row, strict=True))) for now, *row in found]
    return [
        holder | {"age_seconds": max(0.0, (now - holder["admitted_at"]).total_seconds())}
        for now, holder in holders
    ]


# --- the queue of a board ----------------------------------------------------------------------


def in_line(board: Board) -> QuerySet[Execution]:
    """What waits for a place on the board, with what stands in its way; in no order."""
    rows = queries.queued_in(board.organization_id, board.id)
    return rows.annotate(obstacle=queries.obstacle(), at_once=queries.slots())


def places(board: Board, rows: Sequence[Execution]) -> list[QueuePlace]:
    """The places of rows that follow each other in the line of the board."""
    if not rows:
        return []
    first = queries.before(rows[0]).count() + 1
    usual = queries.usual_seconds(board.organization_id, board.id)
    return [
        queries.place_at(
            number,
            row.obstacle,  # type: ignore[attr-defined]  # The annotations of `in_line`.
            usual=usual,
            at_once=row.at_once,  # type: ignore[attr-defined]
        )
        for number, row in enumerate(rows, first)
    ]


def queued(row: Execution, place: QueuePlace) -> dict[str, Any]:
    """An execution in the queue as the API shows it; reads `task` of the row."""
    return {
        "exec_id": row.id,
        "exec_url": documents.address(row.id),
        "agent": row.agent_id,
        "agent_name": row.agent_name,
        "task": row.task_id,
        "task_title": row.task.title if row.task else None,
        "priority": row.priority,
        "queued_at": row.queued_at,
        **(documents.queue(place) or {}),
    }


def behind_a_limit(execution: Execution) -> QueuePlace | None:
    """The place of a run that has just been written, where it cannot begin at once.

    The caller holds the row of its board, so that nobody is queued there meanwhile.
    """
    place = queries.queue_place(execution)
    if place is None or place.blocked_by:
        return place
    board = execution.board
    if board is None or board.max_concurrent is None:
        return None
    # Those before it may be about to be admitted.
    held = _admitted(board.organization_id).filter(board=board).count()
    is_behind = held + place.position > board.max_concurrent
    return replace(place, blocked_by="board") if is_behind else None


def tell_of_places(boards: Iterable[UUID]) -> None:
    """Show those who watch what still waits on these boards where it stands now.

    A hint like any other: nobody who misses it misses anything that cannot be read.
    """
    for board in Board.objects.filter(pk__in=list(boards)):
        try:
            _tell_of_places(board)
        except redis.RedisError as error:
            note_silence(error)
            logger.debug("Places in the queue were not told: %s", error)


def _tell_of_places(board: Board) -> None:
    line = queries.queued_in(board.organization_id, board.id).order_by("rank", "id")
    ids = list(line.values_list("pk", flat=True)[:TOLD_AT_MOST])
    watched = _watched(ids)
    if not watched:
        return
    # Read again with all that a place needs, which is for those that somebody watches only.
    rows = list(in_line(board).only("id", "turn", "rank").order_by("rank", "id")[:TOLD_AT_MOST])
    for row, place in zip(rows, places(board, rows), strict=True):
        if row.pk in watched:
            told = documents.queue(place)
            stream.publish_piece(row.pk, "task.queue_position", told, row.turn)


def _watched(ids: Sequence[UUID]) -> set[UUID]:
    """Those to whose stream somebody listens; asked in one go."""
    if not ids:
        return set()
    counts = client().pubsub_numsub(*(stream.channel(each) for each in ids))
    return {each for each, (_, count) in zip(ids, counts, strict=True) if count}
