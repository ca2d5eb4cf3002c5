"""Which repository, commit and branch an execution works on, and that this host has them."""

from __future__ import annotations

from pathlib import Path

from django.utils.text import slugify

from executions import git, lines
from executions.models import Execution, Worktree, WorktreeStatus
from executions.worktrees import places
from executions.worktrees.errors import WorktreeError


def repository_of(execution: Execution, row: Worktree | None) -> str:
    """What its row calls the repository; a fork has that of its original.

    Without a board that names one, it is a private repository of its own.
    """
    if row is not None and row.repository:
        return row.repository
    original = _original(execution)
    if original is not None:
        return original.repository
    board = execution.board
    if board is None or not board.repository:
        return places.scratch_name(execution.id)
    return git.clean_url(board.repository)


def provide(execution: Execution, repository: str, *, fetch: bool) -> Path:
    """Its git directory, made where it must be; `fetch` asks a URL for what is new there."""
    git_dir = places.git_dir_of(repository, execution.organization_id)
    if places.is_scratch(repository):
        with places.repository_lock(git_dir):
            git.create_repository(git_dir, "Nothing yet")
    elif git.is_url(repository) and (fetch or not git_dir.is_dir()):
        with places.repository_lock(git_dir):
            git.ensure_clone(url_with_credentials(execution, repository), git_dir)
    return git_dir


def url_with_credentials(execution: Execution, repository: str) -> str:
    """The address as the board has it, where a row has it without its secrets."""
    board = execution.board
    if board is not None and git.clean_url(board.repository) == repository:
        return board.repository
    return repository


def base_of(execution: Execution, row: Worktree | None, git_dir: Path) -> str:
    """The commit that its work starts from, and is compared with. Raises `WorktreeError`."""
    if row is not None and row.base:
        return row.base
    original = _original(execution)
    if original is not None:
        return original.base
    branch = execution.board.default_branch if execution.board else "main"
    for name in (f"refs/heads/{branch}", f"refs/remotes/origin/{branch}", "HEAD"):
        if git.has_commit(git_dir, name):
            return git.resolve(git_dir, name)
    if git.has_commit(git_dir, "refs/remotes/origin/HEAD"):
        return git.resolve(git_dir, "refs/remotes/origin/HEAD")
    raise WorktreeError(f"The repository has no branch {branch}, and no commit to start from.")


def branch_of(
    execution: Execution, row: Worktree | None, git_dir: Path, base: str, tree: str
) -> str:
    """The branch of its work: its row's when that is still its own, else a free name.

    The caller holds the repository's lock until the row has the name. Raises `git.BranchTaken`.
    """
    if row is not None and row.branch and _is_own(git_dir, row.branch, base, tree):
        return row.branch
    wanted = branch_name(execution)
    claimed = Worktree.objects.filter(branch__startswith=wanted).exclude(execution=execution)
    taken = claimed.exclude(status=WorktreeStatus.REMOVED).values_list("branch", flat=True)
    return git.free_branch(git_dir, wanted, taken=frozenset(taken))


def _is_own(git_dir: Path, branch: str, base: str, tree: str) -> bool:
    """Whether the branch is still to be made, or points at what this execution had."""
    tip = git.tip(git_dir, branch)
    if tip is None or tip == base:
        return True
    return git.has_commit(git_dir, tree) and git.is_ancestor(git_dir, tip, tree)


def branch_name(execution: Execution) -> str:
    """`agent/{agent}/{task}`, or the execution's id where there is no task."""
    agent = execution.agent.slug if execution.agent else slugify(execution.agent_name)[:80]
    if execution.task is None:
        return f"agent/{agent or 'agent'}/{execution.id.hex[-12:]}"
    title = slugify(execution.task.title)[:48].strip("-_")
    return f"agent/{agent or 'agent'}/{title or execution.task.id.hex[-12:]}"


def _original(execution: Execution) -> Worktree | None:
    """The worktree that a fork continues: of the nearest execution of its line that has one."""
    if execution.forked_from_id is None:
        return None
    line = lines.originals(execution.id)
    rows = Worktree.objects.filter(execution__in=line).exclude(base="")
    return min(rows, key=lambda row: line.index(row.execution_id), default=None)
