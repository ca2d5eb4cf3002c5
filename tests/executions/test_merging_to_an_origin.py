"""Where a board's repository is a URL, a merge is pushed to it, or nothing has happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boards.models import Board
from executions import worktrees
from executions.git import clone, targets
from executions.git.command import GitError
from executions.worktrees import MergeConflict, Strategy
from tests.executions.repositories import a_repository, git
from tests.executions.working import commits, merge, worked, writes
from tests.starting import a_board, an_organization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, settings: Any) -> Path:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"
    return tmp_path / "work"


@pytest.fixture
def person(tmp_path: Path) -> Path:
    """A person's clone of the origin."""
    return a_repository(tmp_path / "person", {"a.txt": "1\n2\n3\n4\n5\n"})


@pytest.fixture
def origin(person: Path, tmp_path: Path) -> Path:
    git(tmp_path, "clone", "--quiet", "--bare", str(person), "origin.git")
    git(person, "remote", "add", "origin", str(tmp_path / "origin.git"))
    return tmp_path / "origin.git"


@pytest.fixture
def board(origin: Path) -> Board:
    return a_board(an_organization(), repository=origin.as_uri())


def _push(person: Path, name: str, content: str) -> str:
    sha = commits(person, writes(name, content))
    git(person, "push", "--quiet", "--force", "origin", "main")
    return sha


@pytest.mark.parametrize("strategy", list(Strategy))
def test_the_origins_branch_is_moved(
    origin: Path, person: Path, board: Board, strategy: Strategy
) -> None:
    worktree = worked(board, writes("a.txt", "1\n2\n3\n4\nFIVE\n"))
    _push(person, "a.txt", "ONE\n2\n3\n4\n5\n")
    told: list[str] = []
    found = merge(worktree, strategy, note=told.append)
    assert told == [found] == [git(origin, "rev-parse", "main")]
    assert git(origin, "show", "main:a.txt") == "ONE\n2\n3\n4\nFIVE"
    assert worktrees.recover(worktree, target="main") is False
    worktree.merge_sha = found
    assert worktrees.recover(worktree, target="main") is True
    assert git(origin, "for-each-ref", "--format=%(refname)") == "refs/heads/main"
    assert not git(origin, "fsck", "--strict", "--no-dangling")


@pytest.mark.parametrize("is_set_back", [False, True])
def test_an_origin_that_moves_meanwhile_is_merged_to_where_it_is_then(
    origin: Path, person: Path, board: Board, is_set_back: bool
) -> None:
    _push(person, "second", "s")
    worktree = worked(board, writes("new", "n"))
    told: list[str] = []

    def note(sha: str) -> None:
        if not told and is_set_back:
            git(origin, "update-ref", "refs/heads/main", "main^")
        elif not told:
            _push(person, "theirs", "t")
        told.append(sha)

    found = merge(worktree, Strategy.SQUASH, note=note)
    assert told[1:] == [found] == [git(origin, "rev-parse", "main")]
    names = git(origin, "ls-tree", "--name-only", "main").split()
    expected = ["a.txt", "new"] if is_set_back else ["a.txt", "new", "second", "theirs"]
    assert names == expected


def test_a_conflict_with_what_the_origin_has_pushes_nothing(
    origin: Path, person: Path, board: Board
) -> None:
    worktree = worked(board, writes("a.txt", "A"))
    theirs = _push(person, "a.txt", "B")
    with pytest.raises(MergeConflict) as caught:
        merge(worktree)
    assert caught.value.files == ["a.txt"]
    assert git(origin, "rev-parse", "main") == theirs


def test_a_push_whose_answer_is_lost_has_happened(
    origin: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    worktree = worked(board, writes("new", "n"))

    def push(*arguments: Any) -> None:
        clone.push(*arguments)
        raise GitError("The connection is gone.")

    monkeypatch.setattr(targets, "push", push)
    assert merge(worktree) == git(origin, "rev-parse", "main")


def test_an_origin_that_refuses_says_why_and_no_secret(
    origin: Path, person: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    worktree = worked(board, writes("new", "n"))
    hook = origin / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho main is protected >&2\nexit 1\n")
    hook.chmod(0o755)
    before = git(origin, "rev-parse", "main")
    with pytest.raises(worktrees.WorktreeError, match="cannot be pushed to") as caught:
        merge(worktree)
    assert "main is protected" in caught.value.output
    assert git(origin, "rev-parse", "main") == before


def test_the_secret_of_a_url_is_in_no_error_of_a_push(tmp_path: Path, person: Path) -> None:
    git_dir = tmp_path / "clone.git"
    clone.ensure_clone(person.as_uri(), git_dir)
    tip = git(git_dir, "rev-parse", "refs/remotes/origin/main")
    with pytest.raises(GitError) as caught:
        clone.push("http://someone:secret@127.0.0.1:9/r.git", git_dir, "main", tip, tip)
    assert "secret" not in f"{caught.value} {caught.value.stderr}"
    assert "secret" not in (git_dir / "config").read_text()


def test_an_origin_that_is_checked_out_refuses(person: Path) -> None:
    board = a_board(an_organization(), repository=person.as_uri())
    worktree = worked(board, writes("new", "n"))
    with pytest.raises(worktrees.WorktreeError) as caught:
        merge(worktree)
    assert "checked out" in caught.value.output
    assert git(person, "status", "--porcelain") == ""
