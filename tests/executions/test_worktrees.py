"""An execution's files: made for each claim, kept, rebuilt, finished, removed."""

from __future__ import annotations

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection
from django.utils import timezone

from boards.models import Approval, ApprovalKind, ApprovalStatus, Board, Task, TaskStatus
from executions import git as command
from executions import worktrees
from executions.errors import Superseded
from executions.models import Execution, Status, Worktree, WorktreeStatus
from executions.worktrees import Checkout, places
from tests.executions.repositories import a_repository, files_of, git, is_untouched
from tests.starting import a_board, an_agent, an_organization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, settings: Any) -> Path:
    """The folder of worktrees and private repositories."""
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"
    return tmp_path / "work"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return a_repository(tmp_path / "repository", {"a.txt": "one\n", ".gitignore": ".env\nnode\n"})


def _board(repository: Path | str, **fields: Any) -> Board:
    return a_board(an_organization(), repository=str(repository), **fields)


def _execution(board: Board | None = None, **fields: Any) -> Execution:
    """A claimed execution."""
    organization = board.organization if board else an_organization()
    agent = organization.agents.first() or an_agent(organization, slug="ada")
    now = timezone.now()
    given = {
        "organization": organization,
        "agent": agent,
        "board": board,
        "spec": {},
        "input": {},
        "max_turns": 50,
        "status": Status.RUNNING,
        "claim_id": uuid4(),
        "admitted_epoch": 1,
        "lease_expires_at": now,
        "queued_at": now,
        "rank": now,
    }
    return Execution.objects.create(**(given | fields))


def _claim_again(execution: Execution, **fields: Any) -> None:
    """What a later claim finds: the row, with the tree that was committed last."""
    Execution.objects.filter(pk=execution.pk).update(claim_id=uuid4(), **fields)
    execution.refresh_from_db()


def _end(execution: Execution, *, days_ago: float) -> None:
    Execution.objects.filter(pk=execution.pk).update(
        status=Status.COMPLETED,
        claim_id=None,
        lease_expires_at=None,
        admitted_epoch=None,
        finished_at=timezone.now() - timedelta(days=days_ago),
    )


def _no_set_up(command: str, directory: Path) -> tuple[int, str]:
    raise AssertionError(f"nothing was to be set up: {command} in {directory}")


def _prepare(execution: Execution, run_setup: worktrees.RunSetup = _no_set_up) -> Checkout:
    claim_id = execution.claim_id
    assert claim_id is not None
    return worktrees.prepare(execution, claim_id, run_setup=run_setup)


def _row(execution: Execution) -> Worktree:
    return Worktree.objects.get(execution=execution)


def _directories(work: Path) -> list[Path]:
    return sorted(path for path in (work / "worktrees").glob("*/*") if path.is_dir())


def _of(checkout: Checkout) -> list[Path]:
    return [checkout.directory, places.private_of(checkout.directory)]


# --- the first claim ------------------------------------------------------------------------------


def test_a_first_claim_gets_the_default_branch_on_a_branch_of_its_own(
    repository: Path, work: Path
) -> None:
    git(repository, "switch", "--quiet", "--create", "other")
    board = _board(repository)
    task = Task.objects.create(board=board, title="Fix the Bell! " + "very " * 20)
    execution = _execution(board, task=task)
    checkout = _prepare(execution)
    assert (checkout.directory / "a.txt").read_text() == "one\n"
    assert checkout.branch == "agent/ada/fix-the-bell-very-very-very-very-very-very-very"
    assert checkout.base == git(repository, "rev-parse", "main")
    row = _row(execution)
    assert row.status == WorktreeStatus.ACTIVE
    assert (row.host, row.path) == (places.host(), str(checkout.directory))
    assert (row.repository, row.branch, row.base) == (
        str(repository),
        checkout.branch,
        checkout.base,
    )
    assert checkout.directory.is_relative_to(work)
    assert git(checkout.directory, "status", "--porcelain") == ""


def test_the_head_stands_in_for_a_default_branch_that_is_missing(repository: Path) -> None:
    git(repository, "switch", "--quiet", "--create", "other")
    git(repository, "commit", "--quiet", "--allow-empty", "--message=Second")
    checkout = _prepare(_execution(_board(repository, default_branch="develop")))
    assert checkout.base == git(repository, "rev-parse", "other")


def test_a_path_that_is_no_repository_fails_and_says_so(tmp_path: Path, work: Path) -> None:
    execution = _execution(_board(tmp_path))
    with pytest.raises(worktrees.NotAGitRepository) as caught:
        _prepare(execution)
    assert caught.value.code == "NOT_A_GIT_REPOSITORY"
    row = _row(execution)
    assert row.status == WorktreeStatus.ERROR
    assert "is not a git repository" in row.error
    assert _directories(work) == []


def test_a_repository_without_a_commit_fails_and_says_so(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet", str(tmp_path / "empty"))
    with pytest.raises(worktrees.WorktreeError, match="no commit to start from"):
        _prepare(_execution(_board(tmp_path / "empty")))


def test_a_branch_that_exists_gets_a_suffix(repository: Path) -> None:
    board = _board(repository)
    names = []
    for _ in range(3):
        task = Task.objects.create(board=board, title="Same")
        names.append(_prepare(_execution(board, task=task)).branch)
    assert names == ["agent/ada/same", "agent/ada/same-2", "agent/ada/same-3"]


def test_a_branch_where_none_is_free_has_its_code(repository: Path) -> None:
    git(repository, "branch", "agent")
    with pytest.raises(worktrees.WorktreeError) as caught:
        _prepare(_execution(_board(repository)))
    assert caught.value.code == "WORKTREE_BRANCH_EXISTS"


def test_a_claim_that_is_gone_makes_nothing(repository: Path, work: Path) -> None:
    execution = _execution(_board(repository))
    Execution.objects.update(claim_id=uuid4())
    with pytest.raises(Superseded):
        _prepare(execution)
    assert not Worktree.objects.exists()
    assert _directories(work) == []
    assert git(repository, "branch", "--list", "agent/*") == ""


# --- set-up ---------------------------------------------------------------------------------------


def test_copied_files_are_there_before_set_up_and_are_never_kept(repository: Path) -> None:
    (repository / ".env").write_text("KEY=1")
    (repository / "local").mkdir()
    (repository / "local" / "settings").write_text("mine")
    (repository / "a.txt").write_text("changed by the person")
    seen = []

    def set_up(command: str, directory: Path) -> tuple[int, str]:
        seen.append((command, sorted(os.listdir(directory))))
        return 0, ""

    names = [".env", "local", "a.txt", "missing"]
    board = _board(repository, copied_files=names, setup_command="make")
    checkout = _prepare(_execution(board), set_up)
    assert seen == [("make", [".env", ".git", ".gitignore", "a.txt", "local"])]
    assert (checkout.directory / "local" / "settings").read_text() == "mine"
    assert (checkout.directory / "a.txt").read_text() == "one\n"
    assert worktrees.keep(checkout, 1) == ""


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", ".git/config", "link", "linked/x", ""]
)
def test_a_file_to_copy_does_not_leave_the_repository(
    repository: Path, work: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x").write_text("secret")
    (repository / "link").symlink_to(tmp_path / "secret")
    (repository / "linked").symlink_to(tmp_path / "folder")
    with pytest.raises(worktrees.WorktreeSetupFailed):
        _prepare(_execution(_board(repository, copied_files=[name])))
    assert _directories(work) == []


def test_a_file_to_copy_does_not_leave_the_worktree(repository: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (repository / "config").symlink_to(tmp_path / "outside")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message=Link")
    (repository / "config").unlink()
    (repository / "config").mkdir()
    (repository / "config" / "x").write_text("x")
    with pytest.raises(worktrees.WorktreeSetupFailed, match="leads out of the worktree"):
        _prepare(_execution(_board(repository, copied_files=["config/x"])))
    assert list((tmp_path / "outside").iterdir()) == []


def test_set_up_that_fails_leaves_its_output_and_no_directory(repository: Path, work: Path) -> None:
    execution = _execution(_board(repository, setup_command="make"))
    with pytest.raises(worktrees.WorktreeSetupFailed) as caught:
        _prepare(execution, lambda command, directory: (2, "x" * 9000 + "no\0 rule"))
    assert caught.value.code == "WORKTREE_SETUP_FAILED"
    row = _row(execution)
    assert row.status == WorktreeStatus.ERROR
    assert row.error.startswith("The board's set-up command ended with 2.")
    assert row.error.endswith("no\ufffd rule")
    assert _directories(work) == []
    assert git(repository, "worktree", "list").count("\n") == 0
    _claim_again(execution)
    assert _prepare(execution, lambda command, directory: (0, "")).branch == row.branch
    assert _row(execution).error == ""


def test_no_transaction_is_open_while_set_up_runs(repository: Path) -> None:
    def set_up(command: str, directory: Path) -> tuple[int, str]:
        assert connection.connection is None
        return 0, ""

    _prepare(_execution(_board(repository, setup_command="make")), set_up)


# --- keeping and later claims ---------------------------------------------------------------------


def test_each_turn_that_changed_files_is_kept_under_its_ref(repository: Path) -> None:
    execution = _execution(_board(repository))
    checkout = _prepare(execution)
    assert worktrees.keep(checkout, 1) == ""
    (checkout.directory / "b.txt").write_text("b")
    first = worktrees.keep(checkout, 1)
    assert worktrees.keep(checkout, 2) == first
    (checkout.directory / "b.txt").write_text("c")
    second = worktrees.keep(checkout, 2, "Changed b")
    (checkout.directory / "b.txt").write_text("d")
    third = worktrees.keep(checkout, 2)
    refs = git(repository, "for-each-ref", "--format=%(refname) %(objectname)", "refs/signalbox")
    root = f"refs/signalbox/{execution.id}"
    assert refs.split("\n") == [f"{root}/1 {first}", f"{root}/2 {third}"]
    log = git(repository, "log", "--format=%s", third)
    assert log.split("\n") == ["Turn 2", "Changed b", "Turn 1", "First"]
    assert second in git(repository, "rev-list", third)
    assert git(repository, "rev-parse", checkout.branch) == checkout.base


def test_a_lost_claims_files_are_rebuilt_elsewhere_from_what_was_kept(repository: Path) -> None:
    runs: list[Path] = []

    def set_up(command: str, directory: Path) -> tuple[int, str]:
        runs.append(directory)
        return 0, ""

    execution = _execution(_board(repository, setup_command="make"))
    lost = _prepare(execution, set_up)
    (lost.directory / "b.txt").write_text("kept")
    (lost.directory / "a.txt").unlink()
    kept = worktrees.keep(lost, 1)
    (lost.directory / "b.txt").write_text("not kept")
    _claim_again(execution, tree=kept)
    found = _prepare(execution, set_up)
    assert found.directory != lost.directory
    assert (found.directory / "b.txt").read_text() == "kept"
    assert not (found.directory / "a.txt").exists()
    assert not lost.directory.exists()
    assert (found.branch, found.base, found.tree) == (lost.branch, lost.base, kept)
    assert runs == [lost.directory, found.directory]
    assert git(repository, "worktree", "list").count("\n") == 1
    assert worktrees.keep(found, 2) == kept
    with pytest.raises(worktrees.WorktreeError):
        worktrees.keep(lost, 2)  # Its directory is gone.
    with pytest.raises(Superseded):
        worktrees.finish(lost)


def test_a_worker_that_wakes_late_sets_no_ref(repository: Path) -> None:
    execution = _execution(_board(repository))
    late = _prepare(execution)
    (late.directory / "b.txt").write_text("late")
    _claim_again(execution)
    before = git(repository, "for-each-ref")
    with pytest.raises(Superseded):
        worktrees.keep(late, 1)
    assert git(repository, "for-each-ref") == before


@pytest.mark.parametrize("step", ["prepare", "keep", "finish"])
def test_a_repository_that_stays_busy_is_no_error(
    repository: Path, work: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    execution = _execution(_board(repository))
    if step != "prepare":
        checkout = _prepare(execution)
        (checkout.directory / "b.txt").write_text("b")
    if step == "finish":
        worktrees.keep(checkout, 1)
    steps = {
        "prepare": lambda: _prepare(execution),
        "keep": lambda: worktrees.keep(checkout, 1),
        "finish": lambda: worktrees.finish(checkout),
    }
    monkeypatch.setattr(places, "LOCK_SECONDS", 0.1)
    with (
        places.repository_lock(repository / ".git"),
        pytest.raises(worktrees.RepositoryBusy),
    ):
        steps[step]()
    assert not Worktree.objects.filter(status=WorktreeStatus.ERROR).exists()
    steps[step]()


def test_a_worktree_put_away_while_its_repository_is_busy_is_forgotten_later(
    repository: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkout = _prepare(_execution(_board(repository)))
    monkeypatch.setattr(places, "LOCK_SECONDS", 0.1)
    with places.repository_lock(repository / ".git"):
        places.discard(checkout.directory)
    assert not checkout.directory.exists()
    assert git(repository, "worktree", "list").count("\n") == 1
    Worktree.objects.all().delete()
    monkeypatch.setattr("executions.worktrees.removal._ORPHAN_AFTER", timedelta(0))
    worktrees.prune()
    assert git(repository, "worktree", "list").count("\n") == 0


def test_a_directory_left_clean_is_used_again_once(repository: Path) -> None:
    execution = _execution(_board(repository))
    left = _prepare(execution)
    (left.directory / "b.txt").write_text("kept")
    (left.directory / "node").write_text("ignored and costly")
    kept = worktrees.keep(left, 1)
    worktrees.leave_clean(left)
    _claim_again(execution, tree=kept)
    found = _prepare(execution)
    assert found.directory == left.directory
    assert (found.directory / "node").exists()
    assert (found.branch, found.base, found.tree) == (left.branch, left.base, kept)
    (found.directory / "b.txt").write_text("not kept")
    _claim_again(execution)
    again = _prepare(execution)
    assert again.directory != left.directory
    assert (again.directory / "b.txt").read_text() == "kept"


@pytest.mark.parametrize("why", ["other host", "other tree", "gone", "not clean", "stayed"])
def test_a_directory_that_does_not_fit_is_not_used_again(repository: Path, why: str) -> None:
    execution = _execution(_board(repository))
    left = _prepare(execution)
    (left.directory / "b.txt").write_text("kept")
    kept = worktrees.keep(left, 1)
    (left.directory / "b.txt").write_text("later")
    later = worktrees.keep(left, 2)
    if why != "not clean":
        worktrees.leave_clean(left)
    if why == "stayed":
        worktrees.stay(left)
    if why == "other host":
        Worktree.objects.update(host="elsewhere")
    if why == "gone":
        shutil.rmtree(left.directory)
    _claim_again(execution, tree=kept if why == "other tree" else later)
    found = _prepare(execution)
    assert found.directory != left.directory
    assert not left.directory.exists()
    assert (found.directory / "b.txt").read_text() == ("kept" if why == "other tree" else "later")


_STEPS = ["add_worktree", "set_branch", "open_files", "restore_tree", "show_index"]


@pytest.mark.parametrize("step", _STEPS)
@pytest.mark.parametrize("is_done", [False, True])
def test_a_claim_that_died_while_making_it_is_followed_by_one_that_succeeds(
    repository: Path, work: Path, monkeypatch: pytest.MonkeyPatch, step: str, is_done: bool
) -> None:
    execution = _execution(_board(repository))
    module = command.repository if step == "set_branch" else command
    real = getattr(module, step)

    def die(*arguments: Any, **named: Any) -> None:
        if is_done:
            real(*arguments, **named)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(module, step, die)
        # A killed process cleans nothing up.
        patch.setattr(places, "discard", lambda directory: None)
        with pytest.raises(SystemExit):
            _prepare(execution)
    _claim_again(execution)
    checkout = _prepare(execution)
    assert checkout.branch == f"agent/ada/{execution.id.hex[-12:]}"
    assert (checkout.directory / "a.txt").exists()
    assert _directories(work) == _of(checkout)
    assert git(repository, "worktree", "list").count("\n") == 1
    assert is_untouched(repository)


def test_a_host_without_the_kept_tree_says_so(repository: Path) -> None:
    execution = _execution(_board(repository), tree="1" * 40)
    with pytest.raises(worktrees.TreeMissing) as caught:
        _prepare(execution)
    assert caught.value.code == "WORKTREE_TREE_MISSING"


# --- the end --------------------------------------------------------------------------------------


def test_the_end_moves_the_branch_and_tells_what_changed(repository: Path) -> None:
    execution = _execution(_board(repository))
    checkout = _prepare(execution)
    (checkout.directory / "a.txt").write_text("one\ntwo\n")
    kept = worktrees.keep(checkout, 1)
    diff = worktrees.finish(checkout)
    assert diff is not None
    assert {name: diff[name] for name in ("branch", "base", "commit", "stat", "cut")} == {
        "branch": checkout.branch,
        "base": checkout.base,
        "commit": kept,
        "stat": {"files": 1, "additions": 1, "deletions": 0},
        "cut": False,
    }
    assert diff["files"] == [
        {
            "path": "a.txt",
            "old_path": "",
            "status": "modified",
            "additions": 1,
            "deletions": 0,
            "binary": False,
        }
    ]
    assert "+two" in diff["patch"]
    assert git(repository, "rev-parse", checkout.branch) == kept
    assert git(checkout.directory, "status", "--porcelain") == ""
    assert worktrees.finish(checkout) == diff
    Execution.objects.update(diff=diff)
    assert is_untouched(repository)


def test_changes_that_were_undone_are_none(repository: Path) -> None:
    checkout = _prepare(_execution(_board(repository)))
    assert worktrees.finish(checkout) is None
    (checkout.directory / "b.txt").write_text("b")
    worktrees.keep(checkout, 1)
    (checkout.directory / "b.txt").unlink()
    worktrees.keep(checkout, 2)
    assert worktrees.finish(checkout) is None
    assert git(repository, "rev-parse", checkout.branch) == checkout.base


def test_a_branch_that_a_person_moved_is_left_alone(repository: Path) -> None:
    execution = _execution(_board(repository))
    checkout = _prepare(execution)
    wanted = checkout.branch
    git(checkout.directory, "commit", "--quiet", "--allow-empty", "--message=By a person")
    theirs = git(repository, "rev-parse", wanted)
    (checkout.directory / "b.txt").write_text("b")
    kept = worktrees.keep(checkout, 1)
    diff = worktrees.finish(checkout)
    assert diff is not None
    assert diff["branch"] == f"{wanted}-2" == _row(execution).branch
    assert git(repository, "rev-parse", wanted) == theirs
    assert git(repository, "rev-parse", f"{wanted}-2") == kept


def test_a_branch_that_a_person_deleted_is_made_again(repository: Path) -> None:
    checkout = _prepare(_execution(_board(repository)))
    (checkout.directory / "b.txt").write_text("b")
    kept = worktrees.keep(checkout, 1)
    git(repository, "update-ref", "-d", f"refs/heads/{checkout.branch}")
    worktrees.finish(checkout)
    assert git(repository, "rev-parse", checkout.branch) == kept


# --- executions without a repository, by URL, forks -----------------------------------------------


def test_an_execution_without_a_repository_has_a_private_one(work: Path) -> None:
    execution = _execution()
    checkout = _prepare(execution)
    assert os.listdir(checkout.directory) == [".git"]
    (checkout.directory / "made.txt").write_text("made\n")
    kept = worktrees.keep(checkout, 1)
    _claim_again(execution, tree=kept)
    found = _prepare(execution)
    assert (found.directory / "made.txt").read_text() == "made\n"
    diff = worktrees.finish(found)
    assert diff is not None
    assert [file["path"] for file in diff["files"]] == ["made.txt"]
    assert _row(execution).repository == f"scratch:{execution.id}"
    assert _prepare(_execution()).base == checkout.base


def test_a_repository_by_url_is_cloned_once_and_its_row_has_no_secret(
    repository: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    real = command.ensure_clone

    def ensure_clone(url: str, git_dir: Path) -> None:
        asked.append(url)
        real(repository.as_uri(), git_dir)

    monkeypatch.setattr(command, "ensure_clone", ensure_clone)
    board = _board("https://someone:secret@example.org/r.git", setup_command="true")
    execution = _execution(board)
    checkout = _prepare(execution, lambda command, directory: (0, ""))
    assert (checkout.directory / "a.txt").exists()
    assert _row(execution).repository == "https://example.org/r.git"
    _claim_again(execution)
    _prepare(execution, lambda command, directory: (0, ""))
    assert asked == ["https://someone:secret@example.org/r.git"]


def test_a_fork_goes_on_with_the_files_and_the_base_of_its_original(repository: Path) -> None:
    board = _board(repository)
    for of_board in (board, None):
        original = _execution(of_board)
        first = _prepare(original)
        (first.directory / "b.txt").write_text("b")
        kept = worktrees.keep(first, 1)
        fork = _execution(of_board, forked_from=original, fork_position=0, tree=kept)
        second = _prepare(fork)
        assert (second.directory / "b.txt").read_text() == "b"
        assert (second.git_dir, second.base) == (first.git_dir, first.base)
        assert second.branch != first.branch
        (second.directory / "c.txt").write_text("c")
        worktrees.keep(second, 2)
        diff = worktrees.finish(second)
        assert diff is not None
        assert [file["path"] for file in diff["files"]] == ["b.txt", "c.txt"]


def test_a_fork_of_a_fork_without_files_goes_on_with_those_of_the_first(repository: Path) -> None:
    for of_board in (_board(repository), None):
        original = _execution(of_board)
        first = _prepare(original)
        (first.directory / "b.txt").write_text("b")
        kept = worktrees.keep(first, 1)
        between = _execution(of_board, forked_from=original, fork_position=0, tree=kept)
        fork = _execution(of_board, forked_from=between, fork_position=0, tree=kept)
        second = _prepare(fork)
        assert (second.directory / "b.txt").read_text() == "b"
        assert (second.git_dir, second.base) == (first.git_dir, first.base)


def test_the_files_of_a_fork_outlive_the_worktree_of_its_original(repository: Path) -> None:
    for of_board in (_board(repository), None):
        original = _execution(of_board)
        first = _prepare(original)
        (first.directory / "b.txt").write_text("b")
        kept = worktrees.keep(first, 1)
        fork = _execution(of_board, forked_from=original, fork_position=0, tree=kept)
        _end(original, days_ago=8)
        assert worktrees.prune() == 1
        long_ago = time.time() - timedelta(days=8).total_seconds()
        os.utime(first.git_dir, (long_ago, long_ago))
        worktrees.prune()
        git(first.git_dir, "gc", "--quiet", "--prune=now")
        assert not first.directory.exists()
        assert (_prepare(fork).directory / "b.txt").read_text() == "b"


def test_executions_of_one_repository_work_at_once(repository: Path) -> None:
    board = _board(repository)
    executions = [_execution(board, agent=None, agent_name="Ada L.") for _ in range(4)]
    start = threading.Barrier(len(executions))

    def run(execution: Execution) -> dict[str, Any] | None:
        try:
            start.wait()
            checkout = _prepare(execution)
            for turn in range(1, 4):
                (checkout.directory / f"{execution.id}-{turn}").write_text("x")
                worktrees.keep(checkout, turn)
            return worktrees.finish(checkout)
        finally:
            connection.close()

    with ThreadPoolExecutor(len(executions)) as pool:
        diffs = list(pool.map(run, executions))
    for execution, diff in zip(executions, diffs, strict=True):
        assert diff is not None
        names = [f"{execution.id}-{turn}" for turn in range(1, 4)]
        assert [file["path"] for file in diff["files"]] == names
        assert len(files_of(repository, diff["branch"])) == 5
    assert is_untouched(repository)


# --- removal --------------------------------------------------------------------------------------


def test_a_removed_worktree_leaves_its_branch_and_its_kept_trees(
    repository: Path, work: Path
) -> None:
    execution = _execution(_board(repository))
    checkout = _prepare(execution)
    folder = checkout.directory / "closed"
    folder.mkdir()
    (folder / "b.txt").write_text("b")
    folder.chmod(0o500)
    kept = worktrees.keep(checkout, 1)
    worktrees.finish(checkout)
    worktrees.remove(_row(execution))
    worktrees.remove(_row(execution))
    assert _row(execution).status == WorktreeStatus.REMOVED
    assert list((work / "worktrees" / str(execution.id)).iterdir()) == []
    assert git(repository, "worktree", "list").count("\n") == 0
    assert git(repository, "rev-parse", checkout.branch, f"refs/signalbox/{execution.id}/1") == (
        f"{kept}\n{kept}"
    )
    assert is_untouched(repository)


def test_prune_takes_what_ended_long_ago_and_is_not_under_review(repository: Path) -> None:
    board = _board(repository)
    task = Task.objects.create(board=board, title="T", status=TaskStatus.REVIEW)
    old, fresh, reviewed, live = (
        _execution(board),
        _execution(board),
        _execution(board, task=task),
        _execution(board),
    )
    for execution in (old, fresh, reviewed, live):
        _prepare(execution)
    _end(old, days_ago=8)
    _end(fresh, days_ago=6)
    _end(reviewed, days_ago=8)
    assert worktrees.prune() == 1
    assert _row(old).status == WorktreeStatus.REMOVED
    assert not Path(_row(old).path).exists()
    for execution in (fresh, reviewed, live):
        assert _row(execution).status == WorktreeStatus.ACTIVE
        assert Path(_row(execution).path).is_dir()
    assert worktrees.prune() == 0


def test_prune_leaves_what_may_still_be_merged(repository: Path) -> None:
    board = _board(repository)
    asked, merging, decided = (_execution(board) for _ in range(3))
    for execution in (asked, merging, decided):
        _prepare(execution)
        _end(execution, days_ago=8)
        Approval.objects.create(
            board=board,
            kind=ApprovalKind.MERGE,
            execution_id=execution.id,
            requester_kind="system",
            action_type="merge",
            reason="r",
        )
    Approval.objects.filter(execution_id=decided.id).update(
        status=ApprovalStatus.REJECTED, decided_at=timezone.now()
    )
    Approval.objects.filter(execution_id=merging.id).delete()
    assert worktrees.move(_row(merging), WorktreeStatus.MERGING, merge_sha="1")
    assert worktrees.prune() == 1
    assert [_row(execution).status for execution in (asked, merging, decided)] == [
        WorktreeStatus.ACTIVE,
        WorktreeStatus.MERGING,
        WorktreeStatus.REMOVED,
    ]


def test_prune_takes_what_was_merged_and_not_removed(repository: Path) -> None:
    execution = _execution(_board(repository))
    checkout = _prepare(execution)
    assert worktrees.move(_row(execution), WorktreeStatus.MERGING, merge_sha="1")
    assert worktrees.move(_row(execution), WorktreeStatus.MERGED)
    assert worktrees.prune() == 0
    Worktree.objects.update(updated_at=timezone.now() - timedelta(hours=2))
    assert worktrees.prune() == 1
    assert not checkout.directory.exists()


def test_prune_takes_what_a_failed_set_up_could_not_put_away(
    repository: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = _execution(_board(repository, setup_command="make"))
    with monkeypatch.context() as patch:
        patch.setattr(places, "discard", lambda directory: None)
        with pytest.raises(worktrees.WorktreeSetupFailed):
            _prepare(execution, lambda command, directory: (1, "no"))
    [directory, _] = _directories(work)
    then = time.time() - timedelta(hours=2).total_seconds()
    for path in places.parts_of(directory):
        os.utime(path, (then, then))
    assert worktrees.prune() == 1
    assert _directories(work) == []
    assert _row(execution).status == WorktreeStatus.ERROR


def test_prune_takes_directories_of_merges_that_died(work: Path) -> None:
    with places.merge_directory() as running, places.merge_directory() as dead:
        for path in (running, dead):
            path.mkdir(parents=True)
        then = time.time() - timedelta(days=2).total_seconds()
        os.utime(dead, (then, then))
        assert worktrees.prune() == 1
        assert (running.exists(), dead.exists()) == (True, False)


@pytest.mark.parametrize("by_url", [False, True])
def test_prune_forgets_the_kept_trees_of_executions_that_are_gone(
    repository: Path, monkeypatch: pytest.MonkeyPatch, by_url: bool
) -> None:
    board = _board(repository.as_uri() if by_url else repository)
    gone, there = _execution(board), _execution(board)
    for execution in (gone, there):
        checkout = _prepare(execution)
        (checkout.directory / "b.txt").write_text("b")
        worktrees.keep(checkout, 1)
        (checkout.directory / "b.txt").write_text("c")
        worktrees.keep(checkout, 2)
    git_dir = checkout.git_dir
    git(git_dir, "update-ref", "refs/signalbox/other/1", "HEAD" if not by_url else checkout.base)
    name = gone.id
    gone.delete()
    refs = git(git_dir, "for-each-ref", "refs/signalbox")
    worktrees.prune()
    assert git(git_dir, "for-each-ref", "refs/signalbox") == refs
    monkeypatch.setattr("executions.worktrees.forgetting.FORGET_AFTER", timedelta(0))
    worktrees.prune()
    left = git(git_dir, "for-each-ref", "--format=%(refname)", "refs/signalbox").split()
    assert left == [
        *sorted(f"refs/signalbox/{there.id}/{turn}" for turn in (1, 2)),
        "refs/signalbox/other/1",
    ]
    assert str(name) not in " ".join(left)


def test_a_repository_that_cannot_be_read_hinders_no_other(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _board(tmp_path / "missing")
    (places.clones() / "broken.git").mkdir(parents=True)
    execution = _execution(_board(repository))
    checkout = _prepare(execution)
    (checkout.directory / "b.txt").write_text("b")
    worktrees.keep(checkout, 1)
    execution.delete()
    monkeypatch.setattr("executions.worktrees.forgetting.FORGET_AFTER", timedelta(0))
    worktrees.prune()
    assert git(repository, "for-each-ref", "refs/signalbox") == ""


def _age(checkout: Checkout, **ago: float) -> None:
    then = time.time() - timedelta(**ago).total_seconds()
    for path in places.parts_of(checkout.directory):
        os.utime(path, (then, then))


def test_prune_takes_directories_that_no_row_names(repository: Path, work: Path) -> None:
    board = _board(repository)
    superseded, gone, live = (_execution(board) for _ in range(3))
    checkouts = [_prepare(execution) for execution in (superseded, gone, live)]
    Worktree.objects.filter(execution=superseded).update(host="elsewhere", path="/elsewhere")
    gone.delete()
    for checkout in checkouts:
        _age(checkout, minutes=50)
    assert worktrees.prune() == 0
    for checkout in checkouts:
        _age(checkout, hours=2)
    assert worktrees.prune() == 1
    assert not checkouts[0].directory.exists()
    for checkout in checkouts:
        if checkout.directory.exists():
            _age(checkout, days=8)
    assert worktrees.prune() == 1
    assert _directories(work) == _of(checkouts[2])
    assert git(repository, "worktree", "list").count("\n") == 1


def test_prune_takes_private_repositories_of_executions_that_are_gone(work: Path) -> None:
    original = _execution()
    checkout = _prepare(original)
    (checkout.directory / "x").write_text("x")
    kept = worktrees.keep(checkout, 1)
    fork = _execution(forked_from=original, fork_position=0, tree=kept)
    _prepare(fork)
    long_ago = time.time() - timedelta(days=8).total_seconds()
    os.utime(checkout.git_dir, (long_ago, long_ago))
    worktrees.prune()
    assert checkout.git_dir.is_dir()
    fork.delete()
    original.delete()
    os.utime(checkout.git_dir, (long_ago, long_ago))
    worktrees.prune()
    assert not checkout.git_dir.exists()


def test_a_worktree_of_another_host_is_left_to_that_host(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = _execution(_board(repository))
    checkout = _prepare(execution)
    hidden = checkout.directory.with_name("hidden")
    checkout.directory.rename(hidden)
    with monkeypatch.context() as patch:
        patch.setattr(places, "host", lambda: "elsewhere")
        worktrees.remove(_row(execution))
        assert _row(execution).status == WorktreeStatus.REMOVING
    hidden.rename(checkout.directory)
    assert worktrees.prune() == 1
    assert _row(execution).status == WorktreeStatus.REMOVED
    assert not checkout.directory.exists()


def test_what_a_dead_worker_had_moved_away_is_deleted(work: Path) -> None:
    trash = work / "worktrees" / ".trash" / "x" / "y"
    trash.mkdir(parents=True)
    worktrees.prune()
    assert not trash.exists()


def test_organizations_that_name_one_url_have_a_clone_each() -> None:
    url = "https://git.example/shared.git"
    assert places.git_dir_of(url, uuid4()) != places.git_dir_of(url, uuid4())


@pytest.mark.parametrize("named", ["{}", "file://{}", "file://localhost{}", "{}/../../x"])
def test_a_copy_of_the_servers_own_is_no_boards_repository(named: str) -> None:
    copy = places.git_dir_of("https://git.example/shared.git", uuid4())
    with pytest.raises(command.NotARepository, match="own copies"):
        places.git_dir_of(named.format(copy), uuid4())


@pytest.mark.parametrize(
    ("named", "allowed"),
    [
        ("{root}/a", True),
        ("file://{root}/a", True),
        ("{root}/../b", False),
        ("file:///etc/%67it", False),
        ("{root}-beside/a", False),
        ("{root}/leads-out", False),
        ("https://git.example/a.git", True),
    ],
)
def test_local_repositories_lie_below_the_roots(
    named: str, allowed: bool, tmp_path: Path, settings: Any
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "leads-out").symlink_to(tmp_path)
    command.create_repository(root / "a", "a")
    settings.SIGNALBOX_REPOSITORY_ROOTS = [str(root)]
    if allowed:
        assert places.git_dir_of(named.format(root=root), uuid4())
    else:
        with pytest.raises(command.NotARepository, match="allows no"):
            places.git_dir_of(named.format(root=root), uuid4())
