"""Waiting for a merge to end: any number of callers, one look a second for all of them."""

from __future__ import annotations

from uuid import UUID

from agents.watching.loops import PerLoop
from agents.watching.rooms import Seen, WaitingRoom
from executions.models import Merge, MergeStatus
from executions.review.merges import channel


async def ended(merge_id: UUID, seconds: float) -> Merge | None:
    """The merge once it has ended, else as it is after so many seconds; None if none was seen."""
    return await _waiting_room().wait(merge_id, seconds)


def _look(ids: list[UUID]) -> dict[UUID, Seen[Merge]]:
    found = Merge.objects.only("id", "status", "problem").in_bulk(ids)
    return {key: Seen(row, row.status != MergeStatus.REQUESTED) for key, row in found.items()}


_waiting_room = PerLoop(lambda: WaitingRoom(_look, channel))
