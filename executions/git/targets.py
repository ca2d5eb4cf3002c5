"""The branch that a merge moves: one of the repository itself, or one of the origin of a clone.

Whoever calls holds the lock of `git_dir`. Both move by compare-and-set.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from executions.git import checkouts
from executions.git.clone import ensure_clone, push
from executions.git.command import GitError
from executions.git.repository import has_commit, is_ancestor, set_branch, set_ref, tip
from executions.git.repository import resolve as resolve_commit


class Target(Protocol):
    """A branch that can be moved."""

    def tip(self) -> str:
        """Where it points now. Raises `GitError` when there is no such branch."""

    def check(self, old: str, new: str) -> None:
        """Raises `TargetCheckedOut` where it cannot follow; nothing is changed."""

    def move(self, old: str, new: str) -> bool:
        """Move it; False, and nothing is changed, when it no longer points at `old`."""

    def settle(self, commit: str) -> bool:
        """Whether it has `commit`; what a move to it that broke off left behind is put right."""


@dataclass(frozen=True, slots=True)
class LocalBranch:
    """A branch of the repository, which may be checked out."""

    git_dir: Path
    private: Path
    name: str

    def tip(self) -> str:
        found = tip(self.git_dir, self.name)
        if found is None:
            raise GitError(f"The repository has no branch {self.name}.")
        return found

    def check(self, old: str, new: str) -> None:
        for checkout in self._checkouts():
            checkouts.check_clean(checkout, old, new)

    def move(self, old: str, new: str) -> bool:
        """Files first, the branch after them: `checkouts` says why."""
        followed: list[checkouts.Checkout] = []
        try:
            for checkout in self._checkouts():
                checkouts.update(checkout, old, new)
                followed.append(checkout)
            set_branch(self.git_dir, self.name, new, old)
        except GitError:
            for checkout in followed:
                checkouts.update(checkout, new, old)
            if self.tip() == old:
                raise
            return False
        self._catch_up(followed, old, new)
        return True

    def _catch_up(self, followed: list[checkouts.Checkout], old: str, new: str) -> None:
        """Whoever checked the branch out just before it moved has the files from before."""
        with suppress(checkouts.TargetCheckedOut):
            for checkout in self._checkouts():
                if checkout not in followed and checkouts.has_index_of(checkout, old):
                    checkouts.update(checkout, old, new)

    def settle(self, commit: str) -> bool:
        """Files that went ahead go back to the branch's.

        Those that a person has changed since are left as they are: with the merge staged, which
        whoever works there sees, and the next merge tells.
        """
        now = tip(self.git_dir, self.name)
        if now is None:
            return False
        if _has(self.git_dir, commit, now):
            return True
        if has_commit(self.git_dir, commit):
            with suppress(checkouts.TargetCheckedOut):
                for checkout in self._checkouts():
                    is_ahead = checkouts.has_index_of(checkout, commit)
                    if is_ahead and not checkouts.has_index_of(checkout, now):
                        checkouts.update(checkout, commit, now)
        return False

    def _checkouts(self) -> list[checkouts.Checkout]:
        return checkouts.checkouts(self.git_dir, self.private, self.name)


@dataclass(frozen=True, slots=True)
class OriginBranch:
    """A branch of the repository at `url`, of which `git_dir` is the clone."""

    git_dir: Path
    url: str
    name: str

    @property
    def _ref(self) -> str:
        return f"refs/remotes/origin/{self.name}"

    def tip(self) -> str:
        ensure_clone(self.url, self.git_dir)
        if not has_commit(self.git_dir, self._ref):
            raise GitError(f"The repository has no branch {self.name}.")
        return resolve_commit(self.git_dir, self._ref)

    def check(self, old: str, new: str) -> None:
        """Whether anyone works on it is for the origin to say, when it is pushed to."""

    def move(self, old: str, new: str) -> bool:
        try:
            push(self.url, self.git_dir, self.name, old, new)
        except GitError:
            now = self.tip()
            if now == old:
                raise
            # It may have been moved by this very push, of which only the answer was lost.
            return _has(self.git_dir, new, now)
        set_ref(self.git_dir, self._ref, new)
        return True

    def settle(self, commit: str) -> bool:
        ensure_clone(self.url, self.git_dir)
        if not has_commit(self.git_dir, self._ref):
            return False
        return _has(self.git_dir, commit, resolve_commit(self.git_dir, self._ref))


def _has(git_dir: Path, commit: str, branch: str) -> bool:
    return has_commit(git_dir, commit) and is_ancestor(git_dir, commit, branch)
