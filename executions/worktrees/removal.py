"""Takes away the worktrees that nobody needs any more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from boards.models import Approval, ApprovalKind, ApprovalStatus, TaskStatus
from executions.models import TERMINAL, Execution, Worktree, WorktreeStatus
from executions.worktrees import places
from executions.worktrees.forgetting import forget_kept_trees
from executions.worktrees.moves import move

STALE_AFTER = timedelta(days=7)
# A directory that its row does not name: long enough for whoever is just making it.
_ORPHAN_AFTER = timedelta(hours=1)
# Each command of a merge ends within minutes, and it is tried a few times.
_MERGE_AT_MOST = timedelta(days=1)
_BATCH = 20

# What lies on this disk, by the execution that it belonged to.
Found = dict[UUID, list[Path]]


def remove(worktree: Worktree) -> bool:
    """Delete its directory; the branch and the kept trees stay. May be called again.

    False, and nothing is done, while a merge of it is under way. A host that does not see the
    directory of another only marks it, and leaves it to that one.
    """
    if not move(worktree, WorktreeStatus.REMOVING):
        return False
    is_here = bool(worktree.path) and Path(worktree.path).is_dir()
    if worktree.host != places.host() and not is_here:
        return True
    if worktree.path:
        places.discard(Path(worktree.path))
    move(worktree, WorktreeStatus.REMOVED)
    return True


def prune() -> int:
    """Remove what is stale or orphaned on this host, and count it; some at a time."""
    removed = 0
    found = _by_execution(places.worktrees(), "*/*")
    for worktree in _stale(found)[:_BATCH]:
        removed += remove(worktree)
    for directory in _orphans(found):
        places.discard(directory)
        removed += 1
    for repository in _orphaned_scratches():
        places.delete(repository)
        removed += 1
    for directory in _abandoned_merges():
        places.delete(directory)
        removed += 1
    places.empty_trash()
    return removed + forget_kept_trees()


def _stale(found: Found) -> QuerySet[Worktree]:
    """Of this host, or found on its disk: ended long ago and not under review, merged, or marked.

    A merged one is removed by whoever merged it; here it is if that process died.
    """
    long_ago = timezone.now() - STALE_AFTER
    is_over = Q(
        status__in=[WorktreeStatus.CREATING, WorktreeStatus.ACTIVE],
        execution__status__in=TERMINAL,
        execution__finished_at__lt=long_ago,
    )
    in_review = Q(execution__task__isnull=False, execution__task__status=TaskStatus.REVIEW)
    asked = Approval.objects.filter(
        execution_id=OuterRef("execution"), kind=ApprovalKind.MERGE, status=ApprovalStatus.PENDING
    )
    is_merged = Q(status=WorktreeStatus.MERGED, updated_at__lt=timezone.now() - _ORPHAN_AFTER)
    is_marked = Q(status=WorktreeStatus.REMOVING) | is_merged
    is_here = Q(host=places.host()) | Q(execution__in=found)
    return Worktree.objects.filter(is_here, is_marked | is_over & ~in_review & ~Exists(asked))


def _orphans(found: Found) -> Iterator[Path]:
    """Directories that no row names: of lost claims, and of executions that are gone.

    A row of any host counts, as hosts may share this folder. The latter stay as long as stale
    ones: another database may share it too.
    """
    # By the path: who reworks an execution's work has its directory.
    there = [str(path.with_suffix("")) for paths in found.values() for path in paths]
    gone = [WorktreeStatus.REMOVED, WorktreeStatus.ERROR]
    rows = Worktree.objects.filter(path__in=there).exclude(status__in=gone)
    named = set(rows.values_list("path", flat=True))
    known = set(Execution.objects.filter(pk__in=found).values_list("pk", flat=True))
    for execution_id, paths in found.items():
        limit = _ORPHAN_AFTER if execution_id in known else STALE_AFTER
        for directory in {path.with_suffix("") for path in paths}:
            if str(directory) not in named and _is_older(directory, limit):
                yield directory
        _remove_if_empty(places.worktrees() / str(execution_id))


def _abandoned_merges() -> Iterator[Path]:
    """Directories of merges whose process died."""
    if not places.merges().is_dir():
        return
    for directory in places.merges().iterdir():
        if _is_older(directory, _MERGE_AT_MOST):
            yield directory


def _orphaned_scratches() -> Iterator[Path]:
    """Private repositories whose execution is gone, and which no fork goes on in."""
    found = _by_execution(places.scratches(), "*.git")
    known = set(Execution.objects.filter(pk__in=found).values_list("pk", flat=True))
    for execution_id, paths in found.items():
        name = places.scratch_name(execution_id)
        if execution_id in known or Worktree.objects.filter(repository=name).exists():
            continue
        yield from (path for path in paths if _is_older(path, STALE_AFTER))


def _by_execution(root: Path, pattern: str) -> Found:
    """The paths below `root`, by the execution whose id the first part of each is."""
    found: Found = {}
    for path in root.glob(pattern):
        try:
            key = UUID(path.relative_to(root).parts[0].removesuffix(".git"))
        except ValueError:
            continue
        found.setdefault(key, []).append(path)
    return found


def _is_older(path: Path, limit: timedelta) -> bool:
    """Whether it and what lies beside it are there, and none has changed for so long."""
    touched = []
    for part in places.parts_of(path):
        with suppress(FileNotFoundError):
            touched.append(part.lstat().st_mtime)
    return bool(touched) and time.time() - max(touched) > limit.total_seconds()


def _remove_if_empty(folder: Path) -> None:
    with suppress(OSError):
        folder.rmdir()
