"""The files that one claim of an execution works on, from their making to their diff."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models.functions import Now

from executions import git, secrets
from executions.errors import Superseded
from executions.models import Execution, Worktree, WorktreeStatus
from executions.models.execution import CLAIMED
from executions.worktrees import origin, places
from executions.worktrees.copying import copy_files
from executions.worktrees.errors import (
    TreeMissing,
    WorktreeError,
    WorktreeSetupFailed,
    told,
)
from executions.worktrees.moves import move

# Runs a shell command in a folder, confined as the engine sees fit: exit code and output.
RunSetup = Callable[[str, Path], tuple[int, str]]
_MAX_OUTPUT = 8000


@dataclass
class Checkout:
    """A directory with an execution's files, for one claim.

    `tree` is the commit of the files as they were kept last, empty while they are those of
    `base`. Every execution has a repository: without a board's it is a private one.
    """

    execution_id: UUID
    claim_id: UUID
    directory: Path
    git_dir: Path
    repository: str
    base: str
    branch: str
    tree: str

    @property
    def files(self) -> git.Files:
        """The directory as git reads it."""
        return places.files_of(self.git_dir, self.directory)


def prepare(execution: Execution, claim_id: UUID, *, run_setup: RunSetup) -> Checkout:
    """The files for a claim, wherever the one before it broke off.

    The first time it makes the branch. A later claim gets a directory of its own, filled from the
    kept tree and set up again, unless the last one left its own clean on this host; the old one is
    moved away, so that a worker that wakes late writes into nothing. Raises `WorktreeError` (no
    directory is left then, and the row says why), `RepositoryBusy`, and `Superseded` when the
    claim is gone.
    """
    row = Worktree.objects.filter(execution=execution).first()
    left = _left_clean(execution, claim_id, row)
    if left is not None:
        return left
    directory = places.directory_of(execution.id, claim_id)
    try:
        with told():
            checkout = _register(execution, claim_id, row, directory)
            _fill(execution, checkout, run_setup)
            _write(execution.id, claim_id, status=WorktreeStatus.ACTIVE)
    except WorktreeError as error:
        places.discard(directory)
        shown = _shown(execution, error)
        _write(execution.id, claim_id, status=WorktreeStatus.ERROR, error=shown)
        raise
    except BaseException:
        places.discard(directory)
        raise
    return checkout


def _shown(execution: Execution, error: WorktreeError) -> str:
    """What went wrong, as people may read it: without secrets, and the end of what was said."""
    redactor = secrets.redactor_of(execution)
    said = redactor.text(error.output)[-_MAX_OUTPUT:]
    return f"{redactor.text(str(error))}\n{said}".strip().replace("\0", "\ufffd")


def _left_clean(execution: Execution, claim_id: UUID, row: Worktree | None) -> Checkout | None:
    """The last claim's directory, if it left that on this host with the files kept last."""
    if row is None or row.host != places.host() or row.status != WorktreeStatus.ACTIVE:
        return None
    directory = Path(row.path)
    facts = places.noted(directory)
    git_dir = Path(facts.get("git_dir", "/nonexistent"))
    if facts.get("left_at") != (execution.tree or row.base):
        return None
    places.note(directory, left_at="")  # Good for one claim.
    if not all(path.is_dir() for path in (directory, places.private_of(directory), git_dir)):
        return None
    return Checkout(
        execution_id=execution.id,
        claim_id=claim_id,
        directory=directory,
        git_dir=git_dir,
        repository=row.repository,
        base=row.base,
        branch=row.branch,
        tree=execution.tree,
    )


def _register(
    execution: Execution, claim_id: UUID, row: Worktree | None, directory: Path
) -> Checkout:
    """Make the directory a worktree of its repository, and put that of an earlier claim away.

    The row has the branch before git does, and the path before the disk: whatever breaks off,
    the next claim knows what to use and what to delete.
    """
    repository = origin.repository_of(execution, row)
    git_dir = origin.provide(execution, repository, fetch=row is None or not row.base)
    with places.repository_lock(git_dir):
        base = origin.base_of(execution, row, git_dir)
        branch = origin.branch_of(execution, row, git_dir, base, execution.tree)
        facts = {"repository": repository, "branch": branch, "base": base}
        _write(
            execution.id,
            claim_id,
            status=WorktreeStatus.CREATING,
            host=places.host(),
            path=str(directory),
            error="",
            **facts,
        )
        with _held(execution.id, claim_id):
            places.note(directory, git_dir=str(git_dir))
            git.add_worktree(git_dir, directory, branch, base)
    if row is not None and row.path and row.path != str(directory):
        places.discard(Path(row.path))
    return Checkout(
        execution_id=execution.id,
        claim_id=claim_id,
        directory=directory,
        git_dir=git_dir,
        tree=execution.tree,
        **facts,
    )


def _fill(execution: Execution, checkout: Checkout, run_setup: RunSetup) -> None:
    """Fill the new directory from the kept tree, or the base, and set it up."""
    board = execution.board
    connection.close()  # What follows can take minutes.
    if checkout.tree and not git.has_commit(checkout.git_dir, checkout.tree):
        raise TreeMissing("This host's repository does not have the execution's kept files.")
    is_boards = board is not None and checkout.repository == git.clean_url(board.repository)
    if board is None or not is_boards:
        _restore(checkout, [])
        return
    names = [str(name) for name in board.copied_files]
    _restore(checkout, names)
    top = None if git.is_url(board.repository) else git.work_tree(Path(board.repository))
    if top is not None:
        copy_files(top, checkout.directory, names)
    if board.setup_command.strip():
        code, output = run_setup(board.setup_command, checkout.directory)
        if code:
            raise WorktreeSetupFailed(f"The board's set-up command ended with {code}.", output)


def _restore(checkout: Checkout, copied: list[str]) -> None:
    git.open_files(checkout.files, exclude=copied)
    git.restore_tree(checkout.files, checkout.tree or checkout.base)
    git.show_index(checkout.files)


def keep(checkout: Checkout, turn: int, label: str = "") -> str:
    """Keep the files as they are: the commit that has them, empty while nothing ever changed.

    The commit stays reachable under `refs/signalbox/{execution}/{turn}`. Raises `WorktreeError`,
    `RepositoryBusy`, and `Superseded` when the claim is gone.
    """
    with told():
        parent = checkout.tree or checkout.base
        commit = git.keep_tree(checkout.files, parent, label or f"Turn {turn}")
        if commit is None:
            return checkout.tree
        ref = f"refs/signalbox/{checkout.execution_id}/{turn}"
        with (
            places.repository_lock(checkout.git_dir),
            _held(checkout.execution_id, checkout.claim_id),
        ):
            git.set_ref(checkout.git_dir, ref, commit)
    checkout.tree = commit
    return commit


def leave_clean(checkout: Checkout) -> None:
    """Let the next claim on this host go on in the directory; its files were kept as they are."""
    places.note(checkout.directory, left_at=checkout.tree or checkout.base)


def stay(checkout: Checkout) -> None:
    """Take that back: this claim goes on in the directory."""
    places.note(checkout.directory, left_at="")


def finish(checkout: Checkout) -> dict[str, Any] | None:
    """Move the branch to the files as they were kept last: what changed, None for nothing.

    Returns `{branch, base, commit, stat: {files, additions, deletions}, files: [{path, old_path,
    status, additions, deletions, binary}], patch, cut}`. A branch that someone else has moved is
    left alone, and the work gets another one. May be called again. Raises `WorktreeError`,
    `RepositoryBusy`, and `Superseded` when the claim is gone.
    """
    if not checkout.tree:
        return None
    with told():
        changes = git.diff(checkout.git_dir, checkout.base, checkout.tree)
        if not changes.files:
            return None
        _move_branch(checkout)
        git.show_index(checkout.files)
    return _told_of(checkout.branch, checkout.base, checkout.tree, changes)


def finish_ended(execution: Execution) -> dict[str, Any] | None:
    """The same for an execution that has completed and of which no claim made the diff.

    May be called again. Raises `WorktreeError` and `RepositoryBusy`.
    """
    row = Worktree.objects.filter(execution=execution).first()
    if row is None or not execution.tree:
        return None
    with told():
        git_dir = origin.provide(execution, row.repository, fetch=False)
        if not git.has_commit(git_dir, execution.tree):
            raise TreeMissing("This host's repository does not have the execution's kept files.")
        changes = git.diff(git_dir, row.base, execution.tree)
        if not changes.files:
            return None
        with places.repository_lock(git_dir):
            branch = origin.branch_of(execution, row, git_dir, row.base, execution.tree)
            Worktree.objects.filter(pk=row.pk).update(branch=branch, updated_at=Now())
            git.set_branch(git_dir, branch, execution.tree, git.tip(git_dir, branch))
    return _told_of(branch, row.base, execution.tree, changes)


def _told_of(branch: str, base: str, commit: str, changes: git.Diff) -> dict[str, Any]:
    return {"branch": branch, "base": base, "commit": commit, **changes.as_json()}


def _move_branch(checkout: Checkout) -> None:
    execution = Execution.objects.get(pk=checkout.execution_id)
    row = Worktree.objects.get(execution=execution)
    with places.repository_lock(checkout.git_dir):
        branch = origin.branch_of(execution, row, checkout.git_dir, checkout.base, checkout.tree)
        _write(checkout.execution_id, checkout.claim_id, branch=branch)
        expected = git.tip(checkout.git_dir, branch)
        with _held(checkout.execution_id, checkout.claim_id):
            git.set_branch(checkout.git_dir, branch, checkout.tree, expected)
    checkout.branch = branch


def _write(
    execution_id: UUID, claim_id: UUID, status: WorktreeStatus | None = None, **fields: Any
) -> None:
    """Write the worktree's row if the claim still holds; else raises `Superseded`."""
    with _held(execution_id, claim_id):
        row, _ = Worktree.objects.get_or_create(execution_id=execution_id)
        if status is None:
            Worktree.objects.filter(pk=row.pk).update(updated_at=Now(), **fields)
        elif not move(row, status, **fields):
            raise WorktreeError(f"A worktree that is {row.status} cannot be {status}.")


@contextmanager
def _held(execution_id: UUID, claim_id: UUID) -> Iterator[None]:
    """Let nobody take the claim away during the block. Raises `Superseded` when it is gone.

    The row is locked, so the block is short. A process that stands still in it loses its session
    after a lease, and the sweep gives the execution on. The successor then waits for the lock of
    the repository, which the process still holds: nothing that it sets when it wakes comes after
    what the successor set, and the end of the block raises Django's `InternalError`.
    """
    with transaction.atomic():
        _let_go_within(settings.EXECUTION_LEASE)
        held = Execution.objects.select_for_update(no_key=True).filter(
            pk=execution_id, claim_id=claim_id, status__in=CLAIMED
        )
        if not held.values_list("pk").first():
            raise Superseded
        yield


def _let_go_within(limit: timedelta) -> None:
    """Let PostgreSQL end this transaction when it is silent for so long."""
    milliseconds = str(round(limit.total_seconds() * 1000))
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [milliseconds]
        )
