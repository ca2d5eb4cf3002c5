"""Executions that have worked on a repository, for tests of what becomes of their work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

from django.utils import timezone

from boards.models import Board
from executions import worktrees
from executions.models import Execution, Status, Worktree, WorktreeStatus
from executions.worktrees import Strategy
from tests.executions.repositories import git
from tests.starting import an_agent, an_organization

Change = Callable[[Path], None]


def an_execution(board: Board | None) -> Execution:
    """A claimed execution."""
    organization = board.organization if board else an_organization()
    now = timezone.now()
    return Execution.objects.create(
        organization=organization,
        agent=organization.agents.first() or an_agent(organization, slug="ada"),
        agent_name="Ada",
        board=board,
        spec={},
        input={},
        max_turns=50,
        status=Status.RUNNING,
        claim_id=uuid4(),
        admitted_epoch=1,
        lease_expires_at=now,
        queued_at=now,
        rank=now,
    )


def worked(board: Board | None, *turns: Change) -> Worktree:
    """The worktree of an execution that has completed after these turns."""
    execution = an_execution(board)
    assert execution.claim_id is not None
    checkout = worktrees.prepare(execution, execution.claim_id, run_setup=lambda *_: (0, ""))
    for number, change in enumerate(turns, 1):
        change(checkout.directory)
        worktrees.keep(checkout, number)
    diff = worktrees.finish(checkout)
    Execution.objects.filter(pk=execution.pk).update(
        status=Status.COMPLETED,
        claim_id=None,
        lease_expires_at=None,
        admitted_epoch=None,
        finished_at=timezone.now(),
        tree=checkout.tree,
        diff=diff,
    )
    return worktree_of(execution.pk)


def worktree_of(execution_id: Any) -> Worktree:
    """The row with what a merge reads of its execution."""
    return Worktree.objects.select_related("execution__board").get(execution=execution_id)


def writes(name: str | bytes, content: str | bytes) -> Change:
    """Write a file."""

    def change(top: Path) -> None:
        path = top / (name if isinstance(name, str) else name.decode("utf-8", "surrogateescape"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return change


def deletes(name: str) -> Change:
    """Delete a file."""
    return lambda top: (top / name).unlink()


def renames(old: str, new: str) -> Change:
    """Give a file another name."""

    def change(top: Path) -> None:
        (top / old).rename(top / new)

    return change


def commits(repository: Path, *changes: Change, message: str = "By a person") -> str:
    """A person's commit on what is checked out there."""
    for change in changes:
        change(repository)
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--allow-empty", f"--message={message}")
    return git(repository, "rev-parse", "HEAD")


def notes(worktree: Worktree) -> Callable[[str], None]:
    """What a caller does with the commit: its row says so before the branch moves."""

    def note(sha: str) -> None:
        assert worktrees.move(worktree, WorktreeStatus.MERGING, merge_sha=sha)

    return note


def merge(worktree: Worktree, strategy: Strategy = Strategy.MERGE, **given: Any) -> str:
    """Merge it into `main` as a caller does."""
    options = {"target": "main", "message": "Merge the task", "note": notes(worktree)}
    return worktrees.merge(worktree, strategy=strategy, **(options | given))
