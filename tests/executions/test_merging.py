"""An agent's work comes into a branch whole or not at all, and what has it checked out follows."""

from __future__ import annotations

import os
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, connection

from boards.models import Board
from executions import worktrees
from executions.git import targets
from executions.models import Worktree, WorktreeStatus
from executions.worktrees import MergeConflict, Strategy, TargetCheckedOut, places
from executions.worktrees.moves import MOVES
from tests.executions.repositories import a_repository, git, is_untouched
from tests.executions.working import (
    Change,
    commits,
    deletes,
    merge,
    notes,
    renames,
    worked,
    writes,
)
from tests.starting import a_board, an_organization

pytestmark = pytest.mark.django_db(transaction=True)

FIRST = {"a.txt": "1\n2\n3\n4\n5\n", "b.txt": "b\nb\nb\nb\n", "dir/c.txt": "c\n"}
ALL = pytest.mark.parametrize("strategy", list(Strategy))


@pytest.fixture(autouse=True)
def work(tmp_path: Path, settings: Any) -> Path:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"
    return tmp_path / "work"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return a_repository(tmp_path / "repository", FIRST)


@pytest.fixture
def board(repository: Path) -> Board:
    return a_board(an_organization(), repository=str(repository))


def log(repository: Path, form: str = "%s", *options: str) -> list[str]:
    return git(repository, "log", f"--format={form}", *options, "main").split("\n")


# --- strategies -----------------------------------------------------------------------------------


@ALL
def test_the_work_comes_into_a_branch_that_has_gone_on(
    repository: Path, board: Board, strategy: Strategy
) -> None:
    worktree = worked(board, writes("a.txt", "1\n2\n3\n4\nFIVE\n"), writes("new", "n\n"))
    theirs = commits(repository, writes("a.txt", "ONE\n2\n3\n4\n5\n"))
    told: list[str] = []
    found = merge(worktree, strategy, note=told.append)
    assert told == [found] == [git(repository, "rev-parse", "main")]
    assert git(repository, "show", "main:a.txt") == "ONE\n2\n3\n4\nFIVE"
    assert (repository / "a.txt").read_text() == "ONE\n2\n3\n4\nFIVE\n"
    assert {
        Strategy.MERGE: ["Merge the task", "By a person", "First"],
        Strategy.SQUASH: ["Merge the task", "By a person", "First"],
        Strategy.REBASE: ["Turn 2", "Turn 1", "By a person", "First"],
    }[strategy] == log(repository, "%s", "--first-parent")
    parents = git(repository, "show", "--no-patch", "--format=%P", "main").split()
    assert parents[0] == (theirs if strategy != Strategy.REBASE else parents[0])
    assert parents[1:] == ([worktree.execution.tree] if strategy == Strategy.MERGE else [])
    author = git(repository, "show", "--no-patch", "--format=%an|%cn", "main")
    assert author == ("Signalbox|Signalbox" if strategy == Strategy.REBASE else "Ada|Signalbox")
    assert is_untouched(repository)
    assert list(places.merges().iterdir()) == []


def test_a_rebase_onto_what_the_work_began_at_takes_its_commits_as_they_are(
    repository: Path, board: Board
) -> None:
    worktree = worked(board, writes("new", "1"), writes("new", "2"))
    assert merge(worktree, Strategy.REBASE) == worktree.execution.tree
    assert is_untouched(repository)


def test_a_rebase_keeps_author_date_and_message_and_leaves_out_what_is_there_already(
    repository: Path, board: Board
) -> None:
    worktree = worked(board, writes("x", "x"), writes("y", "y"), writes("z", "z"))
    commits(repository, writes("y", "y"))
    tree = worktree.execution.tree
    form = "--format=%an %ae %at %B"
    before = git(repository, "log", "-1", form, tree)
    merge(worktree, Strategy.REBASE)
    assert log(repository) == ["Turn 3", "Turn 1", "By a person", "First"]
    assert git(repository, "log", "-1", form, "main") == before


@pytest.mark.parametrize("name", ["<>", " .", "", "a <b> \x1b[1m\nc"])
def test_a_name_that_git_would_refuse_does_not_hinder(
    repository: Path, board: Board, name: str
) -> None:
    worktree = worked(board, writes("new", "n"))
    worktree.execution.agent_name = name
    merge(worktree, message="ü\0\n\n")
    assert log(repository, "%an|%B")[0] in ("Signalbox|ü", "a b [1mc|ü")
    assert is_untouched(repository)


@ALL
def test_work_that_is_there_already_changes_nothing(
    repository: Path, board: Board, strategy: Strategy
) -> None:
    worktree = worked(board, writes("new", "n"))
    first = merge(worktree, strategy)
    before = git(repository, "for-each-ref")
    told: list[str] = []
    if strategy != Strategy.MERGE:
        # Though its history does not have those commits.
        commits(repository, message="On top")
        before = git(repository, "for-each-ref")
        first = git(repository, "rev-parse", "main")
    assert merge(worktree, strategy, note=told.append) == first
    assert told == [first]
    assert git(repository, "for-each-ref") == before


@ALL
def test_an_execution_that_changed_nothing_merges_nothing(
    repository: Path, board: Board, strategy: Strategy
) -> None:
    tip = git(repository, "rev-parse", "main")
    assert merge(worked(board), strategy) == tip
    undone = worked(board, writes("new", "n"), deletes("new"))
    assert git(repository, "rev-parse", f"{merge(undone, strategy)}^{{tree}}") == git(
        repository, "rev-parse", f"{tip}^{{tree}}"
    )


@pytest.mark.parametrize("strategy", [Strategy.SQUASH, Strategy.REBASE])
def test_what_lies_before_the_works_base_does_not_come_along(
    repository: Path, board: Board, strategy: Strategy
) -> None:
    commits(repository, writes("unreviewed", "u"))
    worktree = worked(board, writes("new", "n"))
    git(repository, "reset", "--quiet", "--hard", "HEAD^")
    merge(worktree, strategy)
    assert git(repository, "show", "--format=", "--name-only", "main") == "new"
    assert is_untouched(repository)


@ALL
def test_work_on_a_private_repository_comes_into_its_main(strategy: Strategy) -> None:
    worktree = worked(None, writes("new", "n"))
    found = merge(worktree, strategy)
    git_dir = places.git_dir_of(worktree.repository, worktree.execution.organization_id)
    assert git(git_dir, "rev-parse", "main") == found
    assert git(git_dir, "show", "main:new") == "n"


@ALL
def test_a_shallow_clone_is_merged_into(
    repository: Path, tmp_path: Path, strategy: Strategy
) -> None:
    commits(repository, writes("b.txt", "second"))
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), str(shallow))
    worktree = worked(a_board(an_organization(), repository=str(shallow)), writes("new", "n"))
    commits(shallow, writes("a.txt", "theirs"))
    merge(worktree, strategy)
    assert git(shallow, "show", "main:new") == "n"
    assert is_untouched(shallow)


def test_a_branch_that_is_not_there_is_an_error(repository: Path, board: Board) -> None:
    worktree = worked(board, writes("new", "n"))
    for name in ("missing", "main~0", "../main", "", "-d"):
        with pytest.raises(worktrees.WorktreeError):
            merge(worktree, target=name)
    assert log(repository) == ["First"]


# --- conflicts ------------------------------------------------------------------------------------

ODD = "dir/ü name\nwith a line"
CONFLICTS: dict[str, tuple[Change, Change, list[str]]] = {
    "text": (writes("a.txt", "A\n"), writes("a.txt", "B\n"), ["a.txt"]),
    "they delete": (writes("a.txt", "A\n"), deletes("a.txt"), ["a.txt"]),
    "it deletes": (deletes("a.txt"), writes("a.txt", "B\n"), ["a.txt"]),
    "both add": (writes(ODD, "A\n"), writes(ODD, "B\n"), [ODD]),
    "binary": (writes("b.txt", b"\0A"), writes("b.txt", b"\0B"), ["b.txt"]),
    "renames": (renames("a.txt", "A"), renames("a.txt", "B"), ["A", "B", "a.txt"]),
    "bytes": (writes(b"\xff", "A\n"), writes(b"\xff", "B\n"), ["\\xff"]),
}


@ALL
@pytest.mark.parametrize("kind", list(CONFLICTS))
def test_a_conflict_names_its_files_and_changes_nothing(
    repository: Path, board: Board, strategy: Strategy, kind: str
) -> None:
    its, theirs, files = CONFLICTS[kind]
    worktree = worked(board, writes("fine", "x"), its)
    commits(repository, theirs)
    before = git(repository, "for-each-ref")
    told: list[str] = []
    with pytest.raises(MergeConflict) as caught:
        merge(worktree, strategy, note=told.append)
    assert (caught.value.code, caught.value.files) == ("WORKTREE_MERGE_CONFLICT", files)
    assert (told, git(repository, "for-each-ref")) == ([], before)
    assert is_untouched(repository)
    assert list(places.merges().iterdir()) == []


def test_names_of_any_kind_come_through(repository: Path, board: Board) -> None:
    names = [ODD, " leading", "-d", ":(top)x", "a\\b", '"']
    changes = [writes(name, name) for name in names] + [writes(b"\xfe", "bytes")]
    commits(repository, writes("a.txt", "theirs"))
    worktree = worked(board, *changes)
    merge(worktree, Strategy.REBASE)
    for name in names:
        assert (repository / name).read_text() == name
    assert is_untouched(repository)


# --- others at the same time ----------------------------------------------------------------------


@ALL
def test_a_branch_that_moves_meanwhile_is_merged_to_where_it_is_then(
    repository: Path, board: Board, strategy: Strategy
) -> None:
    worktree = worked(board, writes("new", "n"))
    told: list[str] = []

    def note(sha: str) -> None:
        if not told:
            commits(repository, writes("theirs", "t"))
        told.append(sha)
        notes(worktree)(sha)

    found = merge(worktree, strategy, note=note)
    assert len(told) == 2
    assert found == told[1] == Worktree.objects.get().merge_sha
    assert git(repository, "show", "main:theirs") == "t"
    assert is_untouched(repository)


@pytest.mark.parametrize("with_files", [False, True])
def test_a_branch_that_moves_when_the_files_have_followed_is_merged_to_again(
    repository: Path, board: Board, monkeypatch: pytest.MonkeyPatch, with_files: bool
) -> None:
    worktree = worked(board, writes("a.txt", "1\n2\n3\n4\nFIVE\n"), writes("new", "n"))
    real = targets.set_branch
    seen: list[str] = []

    def set_branch(git_dir: Path, branch: str, commit: str, expected: str | None) -> None:
        if not seen:
            if with_files:
                writes("b.txt", "theirs")(repository)
                git(repository, "commit", "--quiet", "--message=Other", "--only", "b.txt")
            else:
                made = git(repository, "commit-tree", "main^{tree}", "-p", "main", "-m", "Other")
                git(repository, "update-ref", "refs/heads/main", made)
            seen.append(commit)
        real(git_dir, branch, commit, expected)

    monkeypatch.setattr(targets, "set_branch", set_branch)
    merge(worktree)
    assert log(repository, "%s", "--first-parent") == ["Merge the task", "Other", "First"]
    assert (repository / "a.txt").read_text() == "1\n2\n3\n4\nFIVE\n"
    assert is_untouched(repository)


def test_whoever_checks_the_branch_out_just_before_it_moves_gets_its_files(
    repository: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(repository, "switch", "--quiet", "--create", "elsewhere")
    worktree = worked(board, writes("new", "n"))
    real = targets.set_branch

    def set_branch(*arguments: Any) -> None:
        git(repository, "switch", "--quiet", "main")
        real(*arguments)

    monkeypatch.setattr(targets, "set_branch", set_branch)
    merge(worktree)
    assert (repository / "new").exists()
    assert is_untouched(repository)


def test_a_branch_that_cannot_be_moved_leaves_its_checkout_as_it_was(
    repository: Path, board: Board
) -> None:
    worktree = worked(board, writes("a.txt", "A\n"), writes("new", "n"))
    (repository / ".git/refs/heads/main.lock").touch()
    with pytest.raises(worktrees.WorktreeError, match="update-ref"):
        merge(worktree)
    (repository / ".git/refs/heads/main.lock").unlink()
    assert log(repository) == ["First"]
    assert not (repository / "new").exists()
    assert is_untouched(repository)


def test_a_branch_that_never_stands_still_is_given_up(repository: Path, board: Board) -> None:
    worktree = worked(board, writes("new", "n"))
    told: list[str] = []

    def note(sha: str) -> None:
        told.append(commits(repository))

    with pytest.raises(worktrees.WorktreeError, match="was moved 5 times"):
        merge(worktree, note=note)
    assert git(repository, "rev-parse", "main") == told[4]
    assert is_untouched(repository)


@ALL
def test_merges_of_one_repository_at_once_all_come_in(
    repository: Path, board: Board, strategy: Strategy
) -> None:
    rows = [worked(board, writes(f"new-{n}", "n")) for n in range(5)]
    start = threading.Barrier(len(rows))

    def run(row: Worktree) -> str:
        try:
            start.wait()
            return merge(row, strategy)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(rows)) as pool:
        found = set(pool.map(run, rows))
    assert len(found) == 5
    assert len(log(repository, "%s", "--first-parent")) == 6
    assert {f"new-{n}" for n in range(5)} <= set(os.listdir(repository))
    assert is_untouched(repository)


def test_a_repository_that_stays_busy_is_no_error(
    repository: Path, board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    worktree = worked(board, writes("new", "n"))
    monkeypatch.setattr(places, "LOCK_SECONDS", 0.1)
    with places.repository_lock(repository / ".git"):
        with pytest.raises(worktrees.RepositoryBusy):
            merge(worktree)
        worktree.merge_sha = "1" * 40
        with pytest.raises(worktrees.RepositoryBusy):
            worktrees.recover(worktree, target="main")
    assert log(repository) == ["First"]


# --- where the branch is checked out --------------------------------------------------------------


def stages(change: Change) -> Change:
    def act(top: Path) -> None:
        change(top)
        git(top, "add", "--all")

    return act


def _merges_and_stops(top: Path) -> None:
    git(top, "merge", "--quiet", "--no-ff", "--no-commit", "--strategy=ours", "other")


def _ignored_overlap(top: Path) -> None:
    (top / ".git" / "info").mkdir(exist_ok=True)
    (top / ".git" / "info" / "exclude").write_text("new\n")
    writes("new", "precious")(top)


DIRTY: dict[str, Change] = {
    "unstaged": writes("b.txt", "mine"),
    "deleted": deletes("b.txt"),
    "staged": stages(writes("b.txt", "mine")),
    "staged and put back": lambda top: (
        stages(writes("b.txt", "mine"))(top),
        writes("b.txt", FIRST["b.txt"])(top),
    )[1],
    "staged new": stages(writes("other", "mine")),
    "staged as the merge": stages(writes("new", "n")),
    "untracked overlap": writes("new", "precious"),
    "ignored overlap": _ignored_overlap,
    "a folder in the way": writes("new/below", "precious"),
    "a file in the way": writes("folder", "precious"),
    "a link in the way": lambda top: (top / "folder").symlink_to("/nonexistent"),
    "an unfinished merge": _merges_and_stops,
}


@pytest.mark.parametrize("kind", list(DIRTY))
def test_a_checkout_that_has_changes_refuses_and_keeps_them(
    repository: Path, board: Board, kind: str
) -> None:
    git(repository, "branch", "other", git(repository, "commit-tree", "main^{tree}", "-m", "O"))
    git(repository, "update-ref", "refs/heads/other", commits(repository))
    git(repository, "reset", "--quiet", "--hard", "HEAD^")
    worktree = worked(board, writes("new", "n"), writes("folder/x", "x"), writes("a.txt", "A"))
    DIRTY[kind](repository)
    before = _everything(repository)
    told: list[str] = []
    with pytest.raises(TargetCheckedOut) as caught:
        merge(worktree, note=told.append)
    assert caught.value.code == "TARGET_CHECKED_OUT"
    assert str(repository) in str(caught.value)
    assert told == []
    assert _everything(repository) == before


def _everything(top: Path) -> list[Any]:
    """The branches, what `git status` says, and every file with its content."""
    found: list[Any] = [git(top, "for-each-ref"), git(top, "status", "--porcelain", "--ignored")]
    return found + [
        (path, os.readlink(path) if path.is_symlink() else path.is_file() and path.read_bytes())
        for path in sorted(top.rglob("*"))
        if ".git" not in path.parts
    ]


def test_what_a_person_has_beside_the_merge_stays(repository: Path, board: Board) -> None:
    worktree = worked(
        board,
        writes("a.txt", "A"),
        lambda top: shutil.rmtree(top / "dir"),
        writes("dir", "a file now"),
        lambda top: (top / "b.txt").chmod(0o755),
        lambda top: (top / "link").symlink_to("a.txt"),
    )
    (repository / "mine").write_text("mine")

    def touch(sha: str) -> None:
        os.utime(repository / "a.txt", (1, 1))  # And not changed.

    merge(worktree, note=touch)
    assert git(repository, "status", "--porcelain") == "?? mine"
    assert (repository / "dir").read_text() == "a file now"
    assert os.readlink(repository / "link") == "a.txt"
    assert os.access(repository / "b.txt", os.X_OK)


def test_a_linked_worktree_follows_too_and_the_main_one_is_left_alone(
    repository: Path, board: Board, tmp_path: Path
) -> None:
    git(repository, "switch", "--quiet", "--create", "elsewhere")
    linked = tmp_path / "with a space\nand a line"
    git(repository, "worktree", "add", "--quiet", str(linked), "main")
    (repository / "b.txt").write_text("being changed")
    merge(worked(board, writes("a.txt", "A")))
    assert (linked / "a.txt").read_text() == "A"
    assert git(linked, "status", "--porcelain") == ""
    assert git(repository, "status", "--porcelain") == "M b.txt"
    (linked / "b.txt").write_text("being changed")
    with pytest.raises(TargetCheckedOut, match="with a space"):
        merge(worked(board, writes("new", "n")))
    linked.rename(tmp_path / "moved")
    with pytest.raises(TargetCheckedOut, match="is not there"):
        merge(worked(board, writes("new", "n")))
    assert not git(repository, "fsck", "--strict", "--no-dangling")


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_bare_repository_has_nothing_to_follow(
    repository: Path, tmp_path: Path, strategy: Strategy
) -> None:
    bare = tmp_path / "bare.git"
    git(tmp_path, "clone", "--quiet", "--bare", str(repository), str(bare))
    merge(worked(a_board(an_organization(), repository=str(bare)), writes("new", "n")), strategy)
    assert git(bare, "show", "main:new") == "n"


def test_a_checkout_that_git_cannot_point_at_refuses(repository: Path, tmp_path: Path) -> None:
    apart = tmp_path / "apart"
    git(tmp_path, "clone", "--quiet", f"--separate-git-dir={apart}", str(repository), "top")
    board = a_board(an_organization(), repository=str(tmp_path / "top"))
    with pytest.raises(TargetCheckedOut):
        merge(worked(board, writes("new", "n")))
    assert is_untouched(tmp_path / "top")


# --- what must never run --------------------------------------------------------------------------


@ALL
@pytest.mark.parametrize("attributes", ["* filter=evil merge=evil diff=evil", "* text eol=crlf"])
def test_nothing_that_the_repository_names_is_run(
    repository: Path, board: Board, tmp_path: Path, strategy: Strategy, attributes: str
) -> None:
    worktree = worked(
        board, writes(".gitattributes", f"{attributes}\n"), writes("a.txt", "1\n2\n3\n4\nFIVE\n")
    )
    rival = worked(board, writes("a.txt", "1\n2\n3\n4\nfive\n"))
    commits(repository, writes("a.txt", "ONE\n2\n3\n4\n5\n"))
    mark = tmp_path / "mark"
    _hostile(repository, mark)
    merge(worktree, strategy)
    worktrees.recover(worktree, target="main")
    with pytest.raises(MergeConflict):
        merge(rival, strategy)
    assert not mark.exists()
    assert (repository / "a.txt").read_bytes() == b"ONE\n2\n3\n4\nFIVE\n"
    (repository / ".git" / "config").write_text("[core]\n\tbare = false\n")
    assert git(repository, "log", "--format=%G?", "-1", "main") == "N"
    assert git(repository, "status", "--porcelain") == ""


def _hostile(repository: Path, mark: Path) -> None:
    """Every program that a repository can name leaves the mark."""
    program = repository.parent / "program"
    program.write_text(f"#!/bin/sh\necho $0 >> {mark}\ncat\n")
    program.chmod(0o755)
    names = ("core.fsmonitor", "core.sshCommand", "core.editor", "gpg.program", "diff.external")
    drivers = ("filter.evil.clean", "filter.evil.smudge", "filter.evil.process")
    for name in (*names, *drivers, "merge.evil.driver", "diff.evil.textconv"):
        git(repository, "config", name, str(program))
    for name in ("filter.evil.required", "commit.gpgSign", "merge.renormalize"):
        git(repository, "config", name, "true")
    for name, value in {"merge.default": "evil", "core.autocrlf": "true"}.items():
        git(repository, "config", name, value)
    hooks = repository / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    for hook in (
        "reference-transaction", "post-merge", "pre-merge-commit", "post-checkout", "post-commit",
        "commit-msg", "post-index-change", "post-rewrite", "pre-rebase", "update", "pre-commit",
    ):  # fmt: skip
        (hooks / hook).unlink(missing_ok=True)
        (hooks / hook).symlink_to(program)
    git(repository, "config", "core.hooksPath", str(hooks))


# --- the state of a worktree ----------------------------------------------------------------------


@pytest.mark.parametrize("to", list(WorktreeStatus))
@pytest.mark.parametrize("at", list(WorktreeStatus))
def test_a_worktree_moves_only_as_its_table_says(
    board: Board, at: WorktreeStatus, to: WorktreeStatus
) -> None:
    worktree = worked(board)
    Worktree.objects.update(status=at, merge_sha="1")
    assert worktrees.move(worktree, to, error="said") is (at in MOVES[to])
    row = Worktree.objects.get()
    assert (row.status, row.error) == ((to, "said") if at in MOVES[to] else (at, ""))


def test_a_merge_names_its_commit(board: Board) -> None:
    worktree = worked(board)
    with pytest.raises(IntegrityError, match="a_merge_names_its_commit"):
        worktrees.move(worktree, WorktreeStatus.MERGING)


def test_a_worktree_is_not_removed_while_it_is_merged(repository: Path, board: Board) -> None:
    worktree = worked(board, writes("new", "n"))
    merge(worktree)
    assert worktrees.remove(worktree) is False
    assert Path(worktree.path).is_dir()
    assert worktrees.move(worktree, WorktreeStatus.MERGED)
    assert worktrees.remove(worktree) is True
    assert not Path(worktree.path).exists()
    assert Worktree.objects.get().status == WorktreeStatus.REMOVED
    assert git(repository, "show", "main:new") == "n"


def test_work_whose_directory_was_removed_is_merged_from_what_was_kept(
    repository: Path, board: Board
) -> None:
    worktree = worked(board, writes("new", "n"))
    worktrees.remove(worktree)
    merge(worktree)
    assert git(repository, "show", "main:new") == "n"


def test_work_that_this_host_does_not_have_is_not_merged(board: Board) -> None:
    worktree = worked(board, writes("new", "n"))
    worktree.execution.tree = "1" * 40
    with pytest.raises(worktrees.TreeMissing):
        merge(worktree)
