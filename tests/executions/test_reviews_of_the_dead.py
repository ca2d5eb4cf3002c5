"""Whoever hands in, approves or merges dies at any step: in the end it is merged once.

The death is that of `test_death_at_every_boundary`: nothing that would have followed happens, and
the sweep and later messages find what was left.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db.backends.postgresql.base import DatabaseWrapper
from django.utils import timezone

from agents.activity import SYSTEM
from boards.models import Comment, TaskStatus
from executions.engine.sweep import sweep
from executions.git import LocalBranch
from executions.models import Execution, Merge, MergeStatus, Worktree, WorktreeStatus
from executions.review import hand_in, merges
from executions.review.decisions import approve_work, reject_work
from executions.worktrees import merging, places
from tests.executions.repositories import a_repository, git, is_untouched
from tests.executions.reviewing import (
    FIRST,
    a_repository_board,
    a_worker_of,
    approval_of,
    carry_out,
    task_of,
    worked,
)
from tests.executions.test_death_at_every_boundary import Death

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def work(tmp_path: Path, settings: Any) -> None:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"


@pytest.fixture
def death(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], Death]:
    """Of who reviews: at each commit, and around what git does."""
    monkeypatch.setattr(merges, "send", lambda *_, **__: None)

    def install(at: int | None) -> Death:
        made = Death(at)
        for owner, name in (
            (DatabaseWrapper, "_commit"),
            (merges, "_taken"),
            (merges, "_has_happened"),
            (merging.git, "merged"),
            (LocalBranch, "move"),
            (merges.worktrees, "remove"),
            (places, "discard"),
        ):
            monkeypatch.setattr(owner, name, made.around(getattr(owner, name)))
        return made

    return install


def reviewed(run: Execution, death: Death) -> None:
    """Hand in, approve, merge and sweep, until the work is merged."""
    for _ in range(30):
        with death.working():
            hand_in.follow(run)
        sweep()
        task = task_of(run)
        if task.status == TaskStatus.REVIEW:
            with death.working():
                approve_work(run, by=SYSTEM)
        for merge in Merge.objects.filter(status=MergeStatus.REQUESTED):
            with death.working():
                carry_out(merge.pk)
        long_ago = timezone.now() - timedelta(hours=1)
        Merge.objects.filter(taken_at__isnull=False).update(taken_at=long_ago)
        if task_of(run).status == TaskStatus.DONE:
            return
    raise AssertionError(f"never merged: {list(Merge.objects.values())}")


def lived(tmp_path: Path, at: int | None, install: Callable[[int | None], Death]) -> int:
    repository = a_repository(tmp_path / f"repository-{at}", FIRST)
    # A second squash would be a second commit.
    board = a_repository_board(repository, merge_strategy="squash")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("executions.engine.ends._followers", [])
        run = worked(a_worker_of(board), board)
    death = install(at)
    reviewed(run, death)

    where = f"after a death at {at}"
    log = git(repository, "log", "--format=%s", "main").split("\n")
    assert log == ["Say it better", "First"], where
    assert (repository / "a.txt").read_text() == "ONE\n", where
    assert is_untouched(repository), where
    assert approval_of(run).status == "approved", where
    assert Comment.objects.filter(task=run.task_id).count() == 1, where
    merge = Merge.objects.get(execution=run)
    assert merge.sha == git(repository, "rev-parse", "main"), where
    worktree = Worktree.objects.get(execution=run)
    if worktree.status != WorktreeStatus.REMOVED:
        Worktree.objects.update(updated_at=timezone.now() - timedelta(hours=2))
        assert merges.worktrees.prune() >= 1, where
        worktree.refresh_from_db()
    assert (worktree.status, Path(worktree.path).exists()) == (WorktreeStatus.REMOVED, False), where
    return death.seen


def test_a_death_at_any_step_ends_in_one_merge(
    tmp_path: Path, death: Callable[[int | None], Death], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context():
        boundaries = lived(tmp_path, None, death)
    assert boundaries >= 16
    for at in range(1, boundaries + 1):
        with monkeypatch.context():
            lived(tmp_path, at, death)


def test_a_merge_that_happened_is_not_made_again_over_what_came_after_it(
    tmp_path: Path, death: Callable[[int | None], Death], monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = a_repository(tmp_path / "repository", FIRST)
    board = a_repository_board(repository, merge_strategy="squash")
    run = worked(a_worker_of(board), board)
    merge = approve_work(run, by=SYSTEM)
    assert merge is not None
    with monkeypatch.context() as patch:
        patch.setattr(merges, "_close", lambda *_: None)  # It dies before it.
        patch.setattr(merges.worktrees, "remove", lambda *_: None)
        carry_out(merge.pk)
    git(repository, "revert", "--no-edit", "HEAD")
    Merge.objects.update(taken_at=timezone.now() - timedelta(hours=1))

    carry_out(merge.pk)
    merge.refresh_from_db()
    assert merge.sha == git(repository, "rev-parse", "main~1")
    assert (repository / "a.txt").read_text() == "one\n"
    assert task_of(run).status == TaskStatus.DONE


def test_a_rejection_that_dies_is_whole_or_nothing(
    tmp_path: Path, death: Callable[[int | None], Death], monkeypatch: pytest.MonkeyPatch
) -> None:
    for at in range(1, 4):
        repository = a_repository(tmp_path / f"repository-{at}", FIRST)
        board = a_repository_board(repository)
        run = worked(a_worker_of(board), board)
        with monkeypatch.context():
            dying = death(at)
            with dying.working():
                reject_work(run, reason="No.", by=SYSTEM)
        is_reworked = Execution.objects.filter(forked_from=run).exists()
        assert (approval_of(run).status == "rejected") == is_reworked
        assert Worktree.objects.filter(execution__forked_from=run).exists() == is_reworked
        assert (task_of(run).status == TaskStatus.IN_PROGRESS) == is_reworked
