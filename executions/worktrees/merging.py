"""Brings an execution's kept files into a branch, and decides a merge that broke off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from django.db import connection

from executions import git
from executions.git import Strategy
from executions.models import Worktree
from executions.worktrees import origin, places
from executions.worktrees.errors import TreeMissing, WorktreeError, told

# As often as others may move the branch in the moment in which a merge is computed.
_TRIES = 5

Note = Callable[[str], None]


def merge(worktree: Worktree, *, strategy: Strategy, target: str, message: str, note: Note) -> str:
    """Bring the execution's files into the branch `target`: the commit that it points at then.

    `note` is told that commit before anything is changed, and commits it with the worktree's move
    to `merging`: by it `recover` decides whether a merge that broke off has happened. It is told
    anew when someone moved the branch meanwhile. A branch that has the work already stays as it
    is. Where the repository is named by URL, the branch of the origin is moved, by a push.

    Raises `MergeConflict`, `TargetCheckedOut` and any other `WorktreeError`, with nothing changed,
    and `RepositoryBusy`.
    """
    work = git.Work(
        base=worktree.base,
        commit=worktree.execution.tree or worktree.base,
        message=message,
        author=worktree.execution.agent_name,
    )
    with _opened(worktree, target) as (git_dir, private, branch):
        if not git.has_commit(git_dir, work.commit):
            raise TreeMissing("This host's repository does not have the execution's kept files.")
        for _ in range(_TRIES):
            old = branch.tip()
            new = git.merged(git_dir, private, work, old, strategy)
            branch.check(old, new)
            note(new)
            connection.close()  # A push can take minutes.
            if new == old or branch.move(old, new):
                return new
    raise WorktreeError(f"The branch {target} was moved {_TRIES} times while it was merged to.")


def recover(worktree: Worktree, *, target: str) -> bool:
    """Whether the merge that the row names, which broke off, has happened: whether the branch has
    its commit. If not, files that were to follow the branch are put back. May be called again.

    Raises `WorktreeError` and `RepositoryBusy`.
    """
    if not worktree.merge_sha:
        return False
    with _opened(worktree, target) as (_, _, branch):
        return branch.settle(worktree.merge_sha)


@contextmanager
def _opened(worktree: Worktree, target: str) -> Iterator[tuple[Path, Path, git.Target]]:
    """The repository, locked, with a private git directory for the block, and the branch.

    No connection is held: what is read of the execution is read before.
    """
    execution, repository = worktree.execution, worktree.repository
    with told():
        git_dir = places.git_dir_of(repository, execution.organization_id)
        url = origin.url_with_credentials(execution, repository)
        connection.close()
        with places.repository_lock(git_dir), places.merge_directory() as private:
            branch: git.Target = git.LocalBranch(git_dir, private, target)
            if not places.is_scratch(repository) and git.is_url(repository):
                git.ensure_clone(url, git_dir)
                branch = git.OriginBranch(git_dir, url, target)
            git.open_private(git_dir, private)
            yield git_dir, private, branch
