"""The places in which a person has a branch checked out, and how their files follow it.

As git's `receive.denyCurrentBranch=updateInstead` does it: files and index first, and only where
nothing is changed; the branch after them. So a crash in between leaves what comes as staged, and
never its reversal. Here too git works through a private git directory, so that no filter of the
repository runs on an agent's files: they are written byte for byte.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from executions.git.command import Git, GitError
from executions.git.diff import name_of
from executions.git.repository import administration

_UPDATE_SECONDS = 600.0
# Of a merge, a rebase and the like that a person has not finished (gitrepository-layout).
_UNFINISHED = ("MERGE_HEAD", "CHERRY_PICK_HEAD", "REVERT_HEAD", "rebase-merge", "rebase-apply")


class TargetCheckedOut(GitError):
    """The branch is checked out where something is changed."""

    code = "TARGET_CHECKED_OUT"


@dataclass(frozen=True, slots=True)
class Checkout:
    """A work tree; `record` is the git directory of its own, which has its HEAD and index."""

    directory: Path
    record: Path
    git: Git


def checkouts(git_dir: Path, private: Path, branch: str) -> list[Checkout]:
    """Every work tree, main or linked, whose HEAD is the branch.

    Raises `TargetCheckedOut` for one that is not there, on a drive that is not mounted perhaps.
    """
    out = Git(git_dir).run("worktree", "list", "--porcelain", "-z")
    found = []
    for number, text in enumerate(out.removesuffix(b"\0\0").split(b"\0\0")):
        facts = dict(line.partition(b" ")[::2] for line in text.split(b"\0"))
        if b"bare" in facts or facts.get(b"branch") != os.fsencode(f"refs/heads/{branch}"):
            continue
        directory = Path(os.fsdecode(facts[b"worktree"]))
        records = administration(git_dir, directory) if number else [git_dir]
        if len(records) != 1 or not (directory / ".git").exists():
            raise TargetCheckedOut(f"{branch} is checked out in {directory}, which is not there.")
        git = Git(
            private,
            work_tree=directory,
            index=records[0] / "index",
            objects=git_dir / "objects",
            settings={"core.excludesFile": str(git_dir / "info" / "exclude")},
        )
        found.append(Checkout(directory, records[0], git))
    return found


def check_clean(checkout: Checkout, old: str, new: str) -> None:
    """Raises `TargetCheckedOut` unless its files can go from `old` to `new` with nothing lost."""
    unfinished = [name for name in _UNFINISHED if (checkout.record / name).exists()]
    if unfinished:
        raise TargetCheckedOut(f"{checkout.directory} is in the midst of {unfinished[0]}.")
    changed = _changed(checkout.git) + _changed(checkout.git, "--cached", old)
    changed = changed or _in_the_way(checkout, old, new)
    if changed:
        raise TargetCheckedOut(
            f"The branch is checked out in {checkout.directory}, which has changes of its own:"
            f" {', '.join(name_of(name) for name in changed[:5])}."
        )


def update(checkout: Checkout, old: str, new: str) -> None:
    """Let index and files, which are those of `old`, be those of `new`.

    Raises `TargetCheckedOut` where git finds in its way what nobody had seen; nothing is changed.
    """
    try:
        # A file that was only touched is no change, but git would not write over it.
        checkout.git.run("update-index", "-q", "--ignore-submodules", "--refresh", fine=(0, 1))
        checkout.git.run("read-tree", "-u", "-m", old, new, seconds=_UPDATE_SECONDS)
    except GitError as error:
        raise TargetCheckedOut(
            f"The files in {checkout.directory} cannot follow the branch.", error.stderr
        ) from error


def has_index_of(checkout: Checkout, commit: str) -> bool:
    """Whether what is staged there is exactly the commit."""
    return not _changed(checkout.git, "--cached", commit)


def _changed(git: Git, *where: str) -> list[bytes]:
    out = git.run(
        "diff", "--name-only", "-z", "--no-renames", "--no-ext-diff", "--ignore-submodules", *where,
        "--", seconds=_UPDATE_SECONDS,
    )  # fmt: skip
    return out.split(b"\0")[:-1]


def _in_the_way(checkout: Checkout, old: str, new: str) -> list[bytes]:
    """What git does not track and a file of `new` would replace; also what it ignores, which git
    itself would overwrite without a word."""
    out = checkout.git.run(
        "diff-tree", "-r", "-z", "--name-only", "--no-renames", "--diff-filter=A", old, new
    )
    added = out.split(b"\0")[:-1]
    if not added:
        return []
    tracked = set(checkout.git.run("ls-files", "-z").split(b"\0"))
    top = os.fsencode(checkout.directory)
    return sorted({found for path in added for found in _untracked_at(top, path, tracked)})


def _untracked_at(top: bytes, path: bytes, tracked: set[bytes]) -> list[bytes]:
    """What stands where `path` comes: a file above it, itself, or files below it."""
    parts = path.split(b"/")
    above = [b"/".join(parts[:n]) for n in range(1, len(parts))]
    full = os.path.join(top, path)
    if os.path.isdir(full) and not os.path.islink(full):
        below = [
            os.path.relpath(os.path.join(folder, name), top)
            for folder, _, names in os.walk(full)
            for name in names
        ]
        return [name for name in below if name not in tracked]
    blocking = [name for name in above if _is_no_folder(os.path.join(top, name))]
    if not blocking and os.path.lexists(full):
        blocking = [path]
    return [name for name in blocking[:1] if name not in tracked]


def _is_no_folder(path: bytes) -> bool:
    return os.path.lexists(path) and (os.path.islink(path) or not os.path.isdir(path))
