"""What a repository has (commits, branches, private refs, linked worktrees), asked and changed.

Whoever changes refs or worktrees holds the repository's lock.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from executions.git.command import BranchTaken, Git, GitError, NotARepository, environment

_HEADS = "refs/heads/"
_LAST_SUFFIX = 50
# The same commit on every host, so that what was made on one can be compared on another.
AT_THE_EPOCH = {
    "GIT_AUTHOR_DATE": "1970-01-01T00:00:00Z",
    "GIT_COMMITTER_DATE": "1970-01-01T00:00:00Z",
}


def repository_git_dir(path: Path) -> Path:
    """The git directory that all worktrees of the repository at `path` share.

    `path` is the top of a work tree, a bare repository or a `.git` folder. A folder inside a
    repository is none: an execution must not land in whatever happens to lie around it.
    Raises `NotARepository`.
    """
    return Path(os.fsdecode(_discover(path, "--git-common-dir"))).resolve()


def work_tree(path: Path) -> Path | None:
    """The top of the work tree at `path`, None for a bare repository."""
    if _discover(path, "--is-inside-work-tree") != b"true":
        return None
    return path.resolve()


def _discover(path: Path, question: str) -> bytes:
    """The only place where git looks for a repository by itself, in an operator's folder."""
    top = path.resolve()
    try:
        done = subprocess.run(
            ["git", "rev-parse", "--path-format=absolute", question],
            cwd=top,
            env={**environment(), "GIT_CEILING_DIRECTORIES": str(top.parent)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=30,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotARepository(f"{path} cannot be read as a git repository.") from error
    if done.returncode:
        raise NotARepository(f"{path} is not a git repository.", os.fsdecode(done.stderr))
    return done.stdout.removesuffix(b"\n")


@contextmanager
def drafted(git_dir: Path) -> Iterator[Git]:
    """A new bare repository, which appears at `git_dir` when the block ends: whole or not at all.

    The caller holds its lock.
    """
    draft = git_dir.with_name(f"{git_dir.name}.{os.getpid()}.new")
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    git = Git(draft, variables=AT_THE_EPOCH)
    git.run("init", "--quiet", "--bare", "--template=")
    yield git
    draft.rename(git_dir)


def create_repository(git_dir: Path, message: str) -> None:
    """Make a bare repository whose branch `main` has one empty commit, if none is there yet.

    The commit depends on `message` alone. The caller holds the repository's lock.
    """
    if git_dir.is_dir():
        return
    with drafted(git_dir) as git:
        tree = git.word("mktree")
        git.run("update-ref", "refs/heads/main", git.word("commit-tree", tree, "-m", message))


def resolve(git_dir: Path, revision: str) -> str:
    """The id of the commit that `revision` names. Raises `GitError` when there is none."""
    commit = _commit(git_dir, revision)
    if commit is None:
        raise GitError(f"The repository has no commit {revision}.")
    return commit


def has_commit(git_dir: Path, commit: str) -> bool:
    """Whether the repository has this commit."""
    return _commit(git_dir, commit) is not None


def tip(git_dir: Path, branch: str) -> str | None:
    """The commit that the branch points at, None when there is no such branch."""
    return _commit(git_dir, f"{_HEADS}{branch}")


def _commit(git_dir: Path, revision: str) -> str | None:
    out = Git(git_dir).run(
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        f"{revision}^{{commit}}",
        fine=(0, 1, 128),
    )
    return out.decode().strip() or None


def is_ancestor(git_dir: Path, older: str, newer: str) -> bool:
    """Whether `newer` has `older` in its past, or is it."""
    return not Git(git_dir).run("rev-list", "-n1", older, f"^{newer}").strip()


def free_branch(git_dir: Path, wanted: str, *, taken: Collection[str] = ()) -> str:
    """`wanted`, or the first of `wanted-2` … `wanted-50` that is neither a branch nor `taken`.

    Raises `BranchTaken` when none is free, or when a branch has the name of a folder that the
    new one needs: git cannot have both `agent` and `agent/x`.
    """
    names = Git(git_dir).run("for-each-ref", "--format=%(refname)", _HEADS)
    used = {os.fsdecode(name).removeprefix(_HEADS) for name in names.split(b"\n")} | set(taken)
    parts = wanted.split("/")
    for folder in ("/".join(parts[:n]) for n in range(1, len(parts))):
        if folder in used:
            raise BranchTaken(f"A branch {folder} stands where {wanted} needs a folder.")
    for name in (wanted, *(f"{wanted}-{n}" for n in range(2, _LAST_SUFFIX + 1))):
        if name not in used and not any(other.startswith(f"{name}/") for other in used):
            return name
    raise BranchTaken(f"The branch {wanted} exists, and so do its {_LAST_SUFFIX - 1} variants.")


def set_branch(git_dir: Path, branch: str, commit: str, expected: str | None) -> None:
    """Move the branch from `expected` (None: it does not exist yet) to `commit`.

    Raises `GitError` when it points at anything else; nothing is changed then.
    """
    was = expected or "0" * len(commit)
    Git(git_dir).run("update-ref", "-m", "signalbox", f"{_HEADS}{branch}", commit, was)


def set_ref(git_dir: Path, ref: str, commit: str) -> None:
    """Let `ref`, a name outside `refs/heads/`, point at `commit`.

    What it pointed at stays reachable: when that is no past of `commit`, it is kept under the
    ref's name and its own. So two that write the same ref, in any order, lose nothing.
    """
    old = _commit(git_dir, ref)
    if old == commit:
        return
    lines = [f"update {ref} {commit} {old or '0' * len(commit)}\n"]
    if old is not None and not is_ancestor(git_dir, old, commit):
        lines.append(f"update {ref}.{old[:12]} {old}\n")
    Git(git_dir).run("update-ref", "--stdin", stdin="".join(lines).encode())


def add_worktree(git_dir: Path, directory: Path, branch: str, base: str) -> None:
    """Register `directory`, which is not there yet, as a worktree on `branch`, without files.

    A missing branch is made at `base`. What an attempt that broke off left of either is used, so
    it may be called again.
    """
    remove_worktree(git_dir, directory)
    if tip(git_dir, branch) is None:
        set_branch(git_dir, branch, base, None)
    # Twice forced: a worktree of a host that is gone may still hold the branch.
    Git(git_dir).run(
        "worktree", "add", "--force", "--force", "--no-checkout", "--quiet", str(directory), branch
    )


def remove_worktree(git_dir: Path, directory: Path) -> None:
    """Forget that `directory` is a worktree; its files are the caller's. None there is fine.

    The repository's own record is removed, as git does it (gitrepository-layout, `worktrees/`).
    `git worktree remove` would ask the directory, which an agent may have filled with anything;
    `git worktree prune` would forget the operator's worktrees on a drive that is not mounted.
    """
    for record in administration(git_dir, directory):
        shutil.rmtree(record, ignore_errors=True)


def administration(git_dir: Path, directory: Path) -> list[Path]:
    """The repository's records of this worktree: none, one, or more after a crash."""
    link = os.fsencode(directory / ".git")
    found = []
    for record in (git_dir / "worktrees").glob("*/gitdir"):
        try:
            is_ours = record.read_bytes().rstrip(b"\n") == link
        except OSError:  # Another worker removes it at this moment.
            continue
        if is_ours:
            found.append(record.parent)
    return found
