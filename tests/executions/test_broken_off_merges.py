"""A merge whose process is killed has happened or has not, and is told as what it is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from boards.models import Board
from executions import worktrees
from executions.models import Worktree, WorktreeStatus
from executions.worktrees import Strategy, places
from tests.executions.repositories import a_repository, git, is_untouched
from tests.executions.working import commits, merge, worked, worktree_of, writes
from tests.processes import ROOT, environment
from tests.starting import a_board, an_organization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, settings: Any) -> Path:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"
    return tmp_path / "work"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return a_repository(tmp_path / "repository", {"a.txt": "1\n2\n3\n4\n5\n", "b.txt": "b\n"})


def _board(repository: Path | str) -> Board:
    return a_board(an_organization(), repository=str(repository))


def _dying(
    worktree: Worktree, work: Path, point: str = "", strategy: Strategy = Strategy.MERGE
) -> subprocess.Popen[bytes]:
    """A process that merges it, and kills itself at the point."""
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.executions.dying"),
            *(str(worktree.execution_id), strategy, point),
        ],
        cwd=ROOT,
        env=environment() | {"SIGNALBOX_WORK_DIR": str(work)},
    )


def _is_killed(process: subprocess.Popen[bytes]) -> bool:
    return process.wait(60) == -signal.SIGKILL


def _count(top: Path, name: str) -> int:
    """How often the branch's history changed the file."""
    found = git(top, "log", "--first-parent", "--format=%h", "main", "--", name)
    return len(found.split())


POINTS = {
    # Where it dies, and whether it has been noted, and whether it has happened.
    "before:note": (False, False),
    "after:note": (True, False),
    "before:files": (True, False),
    "after:files": (True, False),
    "before:branch": (True, False),
    "after:branch": (True, True),
}


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("point", list(POINTS))
def test_a_merge_that_is_killed_anywhere_is_merged_once(
    repository: Path, work: Path, point: str, strategy: Strategy
) -> None:
    is_noted, has_happened = POINTS[point]
    worktree = worked(_board(repository), writes("a.txt", "1\n2\n3\n4\nFIVE\n"), writes("new", "n"))
    tip = commits(repository, writes("a.txt", "ONE\n2\n3\n4\n5\n"))
    assert _is_killed(_dying(worktree, work, point, strategy))

    row = worktree_of(worktree.execution_id)
    assert (row.status == WorktreeStatus.MERGING) is bool(row.merge_sha) is is_noted
    assert worktrees.recover(row, target="main") is has_happened
    assert worktrees.recover(row, target="main") is has_happened
    assert git(repository, "rev-parse", "main") == (row.merge_sha if has_happened else tip)
    assert (repository / "new").exists() is has_happened
    assert is_untouched(repository)

    merge(row, strategy)
    assert (_count(repository, "new"), _count(repository, "a.txt")) == (1, 3)
    assert is_untouched(repository)


def test_what_is_committed_between_the_files_and_the_branch_is_not_lost(
    repository: Path, work: Path
) -> None:
    worktree = worked(_board(repository), writes("a.txt", "1\n2\n3\n4\nFIVE\n"), writes("new", "n"))
    assert _is_killed(_dying(worktree, work, "before:branch"))
    (repository / "b.txt").write_text("theirs")
    theirs = commits(repository)  # With all that is staged.
    row = worktree_of(worktree.execution_id)
    assert worktrees.recover(row, target="main") is False
    assert git(repository, "rev-parse", "main") == theirs
    assert is_untouched(repository)
    merge(row, Strategy.SQUASH)
    assert git(repository, "rev-parse", "main") == theirs


def test_what_is_changed_between_the_files_and_the_branch_is_not_lost(
    repository: Path, work: Path
) -> None:
    worktree = worked(_board(repository), writes("a.txt", "1\n2\n3\n4\nFIVE\n"), writes("new", "n"))
    assert _is_killed(_dying(worktree, work, "before:branch"))
    (repository / "a.txt").write_text("theirs")
    row = worktree_of(worktree.execution_id)
    assert worktrees.recover(row, target="main") is False
    assert (repository / "a.txt").read_text() == "theirs"
    with pytest.raises(worktrees.TargetCheckedOut, match=r"a\.txt"):
        merge(row)
    git(repository, "checkout", "--quiet", "--", "a.txt")
    assert worktrees.recover(row, target="main") is False
    merge(row)
    assert is_untouched(repository)


def test_processes_that_merge_at_once_all_come_in(repository: Path, work: Path) -> None:
    board = _board(repository)
    rows = [worked(board, writes(f"new-{n}", "n")) for n in range(4)]
    processes = [_dying(row, work, "before:branch" if n == 3 else "") for n, row in enumerate(rows)]
    assert _is_killed(processes.pop())
    ends = [process.wait(60) for process in processes]
    rows = [worktree_of(row.execution_id) for row in rows]
    assert worktrees.recover(rows[3], target="main") is False
    for row in rows:
        if not worktrees.recover(row, target="main"):
            merge(row)
    # Whoever came while what the killed one left was still staged is told to come again.
    assert set(ends) <= {0, 1}
    assert [_count(repository, f"new-{n}") for n in range(4)] == [1, 1, 1, 1]
    assert is_untouched(repository)


@pytest.mark.parametrize(
    ("point", "has_happened"),
    [("before:push", False), ("after:push", True), ("before:origin", True)],
)
def test_a_push_that_is_killed_is_merged_once(
    repository: Path, tmp_path: Path, work: Path, point: str, has_happened: bool
) -> None:
    origin = tmp_path / "origin.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(origin))
    worktree = worked(_board(origin.as_uri()), writes("new", "n"))
    assert _is_killed(_dying(worktree, work, point))
    row = worktree_of(worktree.execution_id)
    assert worktrees.recover(row, target="main") is has_happened
    merge(row)
    assert _count(origin, "new") == 1
    assert not git(origin, "fsck", "--strict", "--no-dangling")


def test_a_merge_that_was_noted_on_a_clone_that_is_gone_has_not_happened(
    repository: Path, tmp_path: Path
) -> None:
    worktree = worked(_board(repository.as_uri()), writes("new", "n"))
    worktree.merge_sha = "1" * 40
    assert worktrees.recover(worktree, target="main") is False
    worktree.merge_sha = ""
    assert worktrees.recover(worktree, target="main") is False


def test_the_directory_of_a_killed_merge_is_pruned_after_a_day(
    repository: Path, work: Path
) -> None:
    worktree = worked(_board(repository), writes("new", "n"))
    assert _is_killed(_dying(worktree, work, "after:note"))
    assert worktrees.prune() == 0
    [directory] = places.merges().iterdir()
    os.utime(directory, (1, 1))
    assert worktrees.prune() == 1
    assert list(places.merges().iterdir()) == []
