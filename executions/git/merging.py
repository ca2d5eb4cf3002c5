"""Brings a commit's work into a branch, without files: what the branch would point at then.

Git merges trees on their own since 2.38 (`merge-tree --write-tree`), so there is no checkout that
a crash could leave behind, nothing is read from a disk that an agent has written, and no hook or
filter has an occasion to run. It works in a private git directory (`trees.open_private`), whose
lack of configuration also keeps the repository's own merge drivers from running.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from executions.git.command import Git, GitError
from executions.git.diff import name_of
from executions.git.repository import AT_THE_EPOCH, is_ancestor


class Strategy(StrEnum):
    """What the branch's history shows of the work."""

    MERGE = "merge"  # A commit with two parents.
    SQUASH = "squash"  # One commit with all of it.
    REBASE = "rebase"  # Its commits one by one.


class MergeConflict(GitError):
    """Both sides changed these files, and git cannot say what they should be."""

    code = "WORKTREE_MERGE_CONFLICT"

    def __init__(self, files: list[str]) -> None:
        super().__init__(f"{len(files)} files conflict.")
        self.files = files


@dataclass(frozen=True, slots=True)
class Work:
    """What is brought: the commits after `base` up to `commit`, which were reviewed as one diff.

    `message` and `author` are those of the commit that is made; a rebase keeps those of each.
    """

    base: str
    commit: str
    message: str
    author: str = "Signalbox"


def merged(git_dir: Path, private: Path, work: Work, onto: str, strategy: Strategy) -> str:
    """The commit `onto` with the work in it: `onto` itself when that has it already.

    The commit has no name yet. Raises `MergeConflict`; nothing is changed in any case.
    """
    if is_ancestor(git_dir, work.commit, onto):
        return onto
    git = Git(
        private,
        objects=git_dir / "objects",
        # The private directory does not know where the history of a shallow clone ends.
        variables={"GIT_SHALLOW_FILE": str(git_dir / "shallow")},
    )
    match strategy:
        case Strategy.MERGE:
            if not is_ancestor(git_dir, work.base, onto):
                # What lies before the base would come along, which nobody reviewed.
                raise GitError("The branch lacks what the work began at: squash or rebase it.")
            tree = _merged_tree(git, onto, work.commit)
            return _commit(git, tree, [onto, work.commit], work)
        case Strategy.SQUASH:
            base = _fork_point(Git(git_dir), work, onto)
            tree = _applied(git, base, work.commit, onto)
            return onto if tree == _tree(git, onto) else _commit(git, tree, [onto], work)
        case Strategy.REBASE:
            return _replayed(git, work, onto)


def _fork_point(git: Git, work: Work, onto: str) -> str:
    """Where the branch and the work part: the work's base, or later if it has some of the work.

    Never earlier, for then what lies before the base would come along, which nobody reviewed.
    """
    out = git.run("merge-base", onto, work.commit, fine=(0, 1)).decode().strip()
    return out if out and is_ancestor(git.git_dir, work.base, out) else work.base


def _replayed(git: Git, work: Work, onto: str) -> str:
    """The work's commits after `onto`, those left out that change nothing there."""
    steps = git.run(
        "rev-list", "--reverse", "--first-parent", "--parents", work.commit, f"^{work.base}",
        f"^{onto}",
    )  # fmt: skip
    for line in steps.decode().splitlines():
        commit, parent, *_ = line.split()
        if parent == onto:
            onto = commit
            continue
        tree = _applied(git, parent, commit, onto)
        if tree != _tree(git, onto):
            onto = _copied(git, commit, tree, onto)
    return onto


def _applied(git: Git, before: str, after: str, onto: str) -> str:
    """The tree of `onto` with what changed from `before` to `after`.

    Git before 2.40 cannot be told the base of a merge, but finds it: here, in two commits made
    for it, whose one parent has the tree of `before`.
    """
    base = _made_up(git, before, [])
    ours, theirs = (_made_up(git, commit, [base]) for commit in (onto, after))
    return _merged_tree(git, ours, theirs)


def _made_up(git: Git, commit: str, parents: Sequence[str]) -> str:
    always_the_same = replace(git, variables={**git.variables, **AT_THE_EPOCH})
    return always_the_same.word(
        "commit-tree", f"{commit}^{{tree}}", *_after(parents), stdin=b"For a merge\n"
    )


def _merged_tree(git: Git, ours: str, theirs: str) -> str:
    """The tree of both. Raises `MergeConflict`."""
    code, out = git.outcome(
        "merge-tree", "--write-tree", "-z", "--name-only", "--no-messages", ours, theirs,
        fine=(0, 1),
    )  # fmt: skip
    tree, *names = out.split(b"\0")
    if code:
        raise MergeConflict(sorted({name_of(name) for name in names if name}))
    return tree.decode()


def _tree(git: Git, commit: str) -> str:
    return git.word("rev-parse", "--verify", f"{commit}^{{tree}}")


def _commit(git: Git, tree: str, parents: Sequence[str], work: Work) -> str:
    # Git refuses a name of which nothing is left without these.
    name = "".join(c for c in work.author if c.isprintable() and c not in "<>").strip(" .,:;\"'\\")
    by = replace(git, variables={**git.variables, "GIT_AUTHOR_NAME": name or "Signalbox"})
    text = work.message.encode("utf-8", "replace").replace(b"\0", b"")
    return by.word("commit-tree", tree, *_after(parents), stdin=text.rstrip() + b"\n")


def _copied(git: Git, commit: str, tree: str, parent: str) -> str:
    """The commit with another tree and parent, and its author, date and message."""
    head, _, text = git.run("cat-file", "commit", commit).partition(b"\n\n")
    author = next(line for line in head.splitlines() if line.startswith(b"author "))
    name, _, rest = author.removeprefix(b"author ").partition(b"<")
    email, _, date = rest.partition(b">")
    variables = {
        "GIT_AUTHOR_NAME": name.decode("utf-8", "surrogateescape").strip() or "Signalbox",
        "GIT_AUTHOR_EMAIL": email.decode("utf-8", "surrogateescape"),
        "GIT_AUTHOR_DATE": f"@{date.decode('ascii', 'replace').strip()}",
    }
    by = replace(git, variables={**git.variables, **variables})
    return by.word("commit-tree", tree, "-p", parent, stdin=text)


def _after(parents: Sequence[str]) -> list[str]:
    return [word for parent in parents for word in ("-p", parent)]
