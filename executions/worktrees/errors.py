"""What can go wrong with a worktree; `code` is the failure's code of the execution."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from executions import git


class WorktreeError(Exception):
    """The worktree cannot be made, kept or finished; `output` is what was said."""

    code = "WORKTREE_ERROR"

    def __init__(self, message: str, output: str = "", *, code: str = "") -> None:
        super().__init__(message)
        self.output = output
        self.code = code or self.code


class NotAGitRepository(WorktreeError):
    """The board's repository is none, or this host does not have it."""

    code = "NOT_A_GIT_REPOSITORY"


class WorktreeSetupFailed(WorktreeError):
    """The files to copy or the set-up command of the board failed."""

    code = "WORKTREE_SETUP_FAILED"


class TreeMissing(WorktreeError):
    """The execution's kept files are in a repository of another host."""

    code = "WORKTREE_TREE_MISSING"


class MergeConflict(WorktreeError):
    """The branch and the work changed the same `files`."""

    code = "WORKTREE_MERGE_CONFLICT"

    def __init__(self, files: list[str]) -> None:
        super().__init__("The branch and the work have changed the same files.")
        self.files = files


class TargetCheckedOut(WorktreeError):
    """The branch is checked out where something is changed; the message says where and what."""

    code = "TARGET_CHECKED_OUT"


class RepositoryBusy(Exception):
    """Another process holds the repository's lock: no failure, but come back later."""


@contextmanager
def told() -> Iterator[None]:
    """Tell what git or the disk said as this module's errors."""
    try:
        yield
    except git.RepositoryBusy as error:
        raise RepositoryBusy(str(error)) from error
    except git.NotARepository as error:
        raise NotAGitRepository(str(error), error.stderr) from error
    except git.MergeConflict as error:
        raise MergeConflict(error.files) from error
    except git.TargetCheckedOut as error:
        raise TargetCheckedOut(str(error), error.stderr) from error
    except git.GitError as error:
        raise WorktreeError(str(error), error.stderr, code=error.code) from error
    except OSError as error:
        raise WorktreeError(f"The worktree's disk refuses: {error.strerror}.") from error
