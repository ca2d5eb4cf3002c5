"""The life of an execution's worktree: made, filled, kept, finished, merged, removed."""

from executions.git import Strategy
from executions.worktrees.checkout import (
    Checkout,
    RunSetup,
    finish,
    finish_ended,
    keep,
    leave_clean,
    prepare,
    stay,
)
from executions.worktrees.errors import (
    MergeConflict,
    NotAGitRepository,
    RepositoryBusy,
    TargetCheckedOut,
    TreeMissing,
    WorktreeError,
    WorktreeSetupFailed,
)
from executions.worktrees.handover import hand_over
from executions.worktrees.merging import merge, recover
from executions.worktrees.moves import move
from executions.worktrees.removal import prune, remove

__all__ = [
    "Checkout",
    "MergeConflict",
    "NotAGitRepository",
    "RepositoryBusy",
    "RunSetup",
    "Strategy",
    "TargetCheckedOut",
    "TreeMissing",
    "WorktreeError",
    "WorktreeSetupFailed",
    "finish",
    "finish_ended",
    "hand_over",
    "keep",
    "leave_clean",
    "merge",
    "move",
    "prepare",
    "prune",
    "recover",
    "remove",
    "stay",
]
