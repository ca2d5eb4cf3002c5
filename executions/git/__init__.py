"""Git as executions need it: each part runs the `git` command, and none knows Django."""

from executions.git.checkouts import TargetCheckedOut
from executions.git.clone import clean_url, ensure_clone, folder_of, is_url
from executions.git.command import BranchTaken, GitError, NotARepository, RepositoryBusy
from executions.git.diff import ChangedFile, Diff, diff
from executions.git.kept import KeptRef, delete_refs, kept_refs
from executions.git.locking import lock
from executions.git.merging import MergeConflict, Strategy, Work, merged
from executions.git.repository import (
    add_worktree,
    create_repository,
    free_branch,
    has_commit,
    is_ancestor,
    remove_worktree,
    repository_git_dir,
    resolve,
    set_branch,
    set_ref,
    tip,
    work_tree,
)
from executions.git.targets import LocalBranch, OriginBranch, Target
from executions.git.trees import (
    Files,
    keep_tree,
    open_files,
    open_private,
    restore_tree,
    show_index,
)

__all__ = [
    "BranchTaken",
    "ChangedFile",
    "Diff",
    "Files",
    "GitError",
    "KeptRef",
    "LocalBranch",
    "MergeConflict",
    "NotARepository",
    "OriginBranch",
    "RepositoryBusy",
    "Strategy",
    "Target",
    "TargetCheckedOut",
    "Work",
    "add_worktree",
    "clean_url",
    "create_repository",
    "delete_refs",
    "diff",
    "ensure_clone",
    "folder_of",
    "free_branch",
    "has_commit",
    "is_ancestor",
    "is_url",
    "keep_tree",
    "kept_refs",
    "lock",
    "merged",
    "open_files",
    "open_private",
    "remove_worktree",
    "repository_git_dir",
    "resolve",
    "restore_tree",
    "set_branch",
    "set_ref",
    "show_index",
    "tip",
    "work_tree",
]
