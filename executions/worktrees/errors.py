"""What can go wrong with a worktree; `code` is the failure's code of the execution."""


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


class RepositoryBusy(Exception):
    """Another process holds the repository's lock: no failure, but come back later."""
