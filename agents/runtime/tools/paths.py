"""Opens paths of a worktree so that no link, and no change meanwhile, leads out of it.

Every component is opened relative to the one before it, without following links; links are read
and walked by hand. What was checked is therefore what is used: a folder that is swapped for a link
between two steps makes the open fail. (`openat2` with `RESOLVE_BENEATH` would refuse absolute links
that stay inside, and is not everywhere allowed in containers.)
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from agents.runtime.tools.registry import ToolError

MAX_LINKS = 40
_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Place:
    """A name in an open folder. `name` is no link at the time of looking, and may not exist yet;
    it is `.` for the folder itself. `shown` is the path relative to the worktree.
    """

    folder: int
    name: str
    shown: str


@contextmanager
def located(root: Path, path: str, *, writing: bool = False) -> Iterator[Place]:
    """The place of `path`, relative to the worktree or absolute inside it, until the block ends.

    For `writing`, missing folders are made and anything named `.git` is refused. Raises
    `ToolError` for a path that leads outside and for whatever the system refuses.
    """
    walk = None
    try:
        walk = _Walk(root, writing=writing)
        yield walk.to(path)
    except OSError as error:
        raise ToolError(f"{path}: {error.strerror or error}") from error
    except ValueError as error:  # NUL, or characters that no file name can have.
        raise ToolError(f"{path!r} is not a usable path: {error}") from error
    finally:
        if walk is not None:
            walk.close()


class _Walk:
    """A position below the root, as the open folders that lead to it."""

    def __init__(self, root: Path, *, writing: bool) -> None:
        self._root = root
        self._writing = writing
        self._folders = [os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)]
        self._names: list[str] = []
        self._links = 0

    def close(self) -> None:
        while self._folders:
            os.close(self._folders.pop())

    def to(self, path: str) -> Place:
        steps = deque(self._steps(path))
        while steps:
            step = steps.popleft()
            if step == "..":
                self._up(path)
                continue
            self._refuse_git(step)
            target = _link_target(step, self._folders[-1])
            if target is not None:
                steps.extendleft(reversed(self._follow(target)))
            elif steps:
                self._down(step)
            else:
                return self._place(step)
        return self._place(".")

    def _place(self, name: str) -> Place:
        shown = "/".join([*self._names, name]) if name != "." else "/".join(self._names) or "."
        return Place(self._folders[-1], name, shown)

    def _steps(self, path: str) -> list[str]:
        """The components of the path relative to the worktree."""
        steps = [step for step in path.split("/") if step not in ("", ".")]
        if not path.startswith("/"):
            return steps
        for spelling in (str(self._root), os.path.realpath(self._root)):
            start = [step for step in spelling.split("/") if step]
            if steps[: len(start)] == start:
                return steps[len(start) :]
        raise ToolError(f"{path} lies outside the worktree {self._root}.")

    def _up(self, path: str) -> None:
        if not self._names:
            raise ToolError(f"{path} leads outside the worktree.")
        os.close(self._folders.pop())
        self._names.pop()

    def _follow(self, target: str) -> list[str]:
        self._links += 1
        if self._links > MAX_LINKS:
            raise ToolError("Too many symbolic links.")
        if target.startswith("/"):
            while self._names:
                self._up(target)
        return self._steps(target)

    def _down(self, name: str) -> None:
        if self._writing:
            with suppress(FileExistsError):
                os.mkdir(name, dir_fd=self._folders[-1])
        self._folders.append(os.open(name, _FOLDER, dir_fd=self._folders[-1]))
        self._names.append(name)

    def _refuse_git(self, name: str) -> None:
        # Git runs what its configuration names, and the server calls git: this is its door.
        if self._writing and name.lower() == ".git":
            raise ToolError("Nothing named .git may be written.")


def _link_target(name: str, folder: int) -> str | None:
    try:
        return os.readlink(name, dir_fd=folder)
    except OSError:  # Not a link, or not there: the open that follows says which.
        return None
