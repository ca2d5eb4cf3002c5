"""Gives an execution's files to the one that goes on with its work."""

from __future__ import annotations

from executions.models import Execution, Worktree, WorktreeStatus
from executions.worktrees.moves import move


def hand_over(before: Execution, after: Execution) -> None:
    """Let `after` work on the branch and in the directory of `before`, if that has any.

    The old row keeps what forks need that are yet to be made of `before`: repository, base and
    branch. In the caller's transaction.
    """
    rows = Worktree.objects.filter(execution=before).select_for_update(no_key=True)
    if rows.values_list("pk").first() is None:
        return
    old = Worktree.objects.get(execution=before)
    is_there = old.status == WorktreeStatus.ACTIVE
    Worktree.objects.create(
        execution=after,
        status=WorktreeStatus.ACTIVE if is_there else WorktreeStatus.REMOVED,
        repository=old.repository,
        host=old.host,
        path=old.path if is_there else "",
        branch=old.branch,
        base=old.base,
    )
    if is_there:
        move(old, WorktreeStatus.REMOVING)
        move(old, WorktreeStatus.REMOVED, path="")
