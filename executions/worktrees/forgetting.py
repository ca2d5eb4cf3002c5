"""Forgets the kept trees of executions that are gone, in every repository of this host."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from boards.models import Board
from executions import git
from executions.models import Execution
from executions.worktrees import places

logger = logging.getLogger(__name__)

# Long: they are no cache, and another database's executions may work on the same repository.
FORGET_AFTER = timedelta(days=30)


def forget_kept_trees() -> int:
    """Delete the refs of executions without a row that kept nothing for so long; count those."""
    forgotten = 0
    for git_dir in set(_repositories()):
        try:
            forgotten += _forget(git_dir)
        except (git.GitError, OSError) as error:
            logger.warning("The kept trees in %s are looked at later: %s", git_dir, error)
    return forgotten


def _repositories() -> Iterator[Path]:
    """Those that boards name and this host has, and every clone; private ones go as a whole."""
    yield from (path for path in places.clones().glob("*.git") if path.is_dir())
    named = Board.objects.exclude(repository="").order_by()
    pairs = named.values_list("organization_id", "repository").distinct()
    for organization_id, repository in pairs:
        try:
            git_dir = places.git_dir_of(repository, organization_id)
        except git.NotARepository:
            continue
        if git_dir.is_dir():
            yield git_dir


def _forget(git_dir: Path) -> int:
    kept: dict[UUID, list[git.KeptRef]] = {}
    for ref in git.kept_refs(git_dir):
        kept.setdefault(ref.execution_id, []).append(ref)
    known = set(Execution.objects.filter(pk__in=kept).values_list("pk", flat=True))
    before = time.time() - FORGET_AFTER.total_seconds()
    gone = [
        refs
        for execution_id, refs in kept.items()
        if execution_id not in known and max(ref.kept_at for ref in refs) < before
    ]
    if gone:
        with places.repository_lock(git_dir):
            git.delete_refs(git_dir, [ref for refs in gone for ref in refs])
    return len(gone)
