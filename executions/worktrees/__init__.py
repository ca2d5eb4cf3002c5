"""The life of an execution's worktree: made, filled, kept, finished, removed."""

from executions.worktrees.checkout import (
    Checkout,
    RunSetup,
    finish,
    keep,
    leave_clean,
    prepare,
    stay,
)
from executions.worktrees.errors import (
    NotAGitRepository,
    RepositoryBusy,
    TreeMissing,
    WorktreeError,
    WorktreeSetupFailed,
)
from executions.worktrees.removal import prune, remove

__all__ = [
    "Checkout",
    "NotAGitRepository",
    "RepositoryBusy",
    "RunSetup",
    "TreeMissing",
    "WorktreeError",
    "WorktreeSetupFailed",
    "finish",
    "keep",
    "leave_clean",
    "prepare",
    "prune",
    "remove",
    "stay",
]
