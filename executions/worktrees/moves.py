"""The table of a worktree's moves, and the one guarded update that makes a move."""

from __future__ import annotations

from typing import Any

from django.db.models.functions import Now

from executions.models import Worktree, WorktreeStatus

_CREATING, _ACTIVE, _MERGING, _MERGED, _REMOVING, _REMOVED, _ERROR = (
    WorktreeStatus.CREATING,
    WorktreeStatus.ACTIVE,
    WorktreeStatus.MERGING,
    WorktreeStatus.MERGED,
    WorktreeStatus.REMOVING,
    WorktreeStatus.REMOVED,
    WorktreeStatus.ERROR,
)

# From where each state is reached. A later claim makes the worktree anew; a merge that did not
# happen leaves it active again, and one that is computed anew notes another commit. The files of a
# merge come from the repository, so that it needs no directory.
MOVES: dict[WorktreeStatus, frozenset[WorktreeStatus]] = {
    _CREATING: frozenset({_CREATING, _ACTIVE, _ERROR, _REMOVING, _REMOVED}),
    _ACTIVE: frozenset({_CREATING, _MERGING}),
    _MERGING: frozenset({_ACTIVE, _REMOVING, _REMOVED, _MERGING}),
    _MERGED: frozenset({_MERGING}),
    _REMOVING: frozenset({_CREATING, _ACTIVE, _MERGED, _ERROR, _REMOVING, _REMOVED}),
    _REMOVED: frozenset({_REMOVING}),
    _ERROR: frozenset({_CREATING, _ACTIVE, _ERROR, _REMOVING, _REMOVED}),
}


def move(worktree: Worktree, to: WorktreeStatus, **fields: Any) -> bool:
    """Move its row to the state `to` with these fields; False when its state forbids that."""
    rows = Worktree.objects.filter(pk=worktree.pk, status__in=MOVES[to])
    if not rows.update(status=to, updated_at=Now(), **fields):
        return False
    for name, value in {"status": to, **fields}.items():
        setattr(worktree, name, value)
    return True
