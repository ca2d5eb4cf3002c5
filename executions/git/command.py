"""Runs the git command so that its arguments alone decide what it does.

No configuration of the machine or of its user is read, no hook runs, nothing asks a question. The
configuration of the repository that `git_dir` names is read: it belongs to the operator.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

SECONDS = 120.0
# A URL such as `ext::sh -c ...` would run a program.
_PROTOCOLS = "file:git:http:https:ssh"
_SETTINGS = {
    "commit.gpgSign": "false",
    "core.fileMode": "true",
    "core.fsmonitor": "false",
    # A kept tree must outlive a power failure as the row that names it does.
    "core.fsync": "committed,reference",
    "core.fsyncMethod": "batch",
    "core.hooksPath": "/dev/null",
    "core.sparseCheckout": "false",
    "core.splitIndex": "false",
    "core.symlinks": "true",
    "core.untrackedCache": "false",
    "diff.renameLimit": "1000",
    "gc.auto": "0",
    "init.defaultBranch": "main",
    "maintenance.auto": "false",
    "safe.directory": "*",
    "submodule.recurse": "false",
}
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": _PROTOCOLS,
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_AUTHOR_EMAIL": "signalbox@localhost",
    "GIT_AUTHOR_NAME": "Signalbox",
    "GIT_COMMITTER_EMAIL": "signalbox@localhost",
    "GIT_COMMITTER_NAME": "Signalbox",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    # Not the user's: git looks there for ignore and attribute files too.
    "HOME": "/nonexistent",
    "LC_ALL": "C",
}


class GitError(Exception):
    """Git did not do what it was asked to do; `stderr` is what it said."""

    code = "GIT_FAILED"

    def __init__(self, message: str, stderr: str = "") -> None:
        super().__init__(message)
        self.stderr = stderr


class NotARepository(GitError):
    """The path is not the top of a git repository."""

    code = "NOT_A_GIT_REPOSITORY"


class BranchTaken(GitError):
    """The branch exists, and so does each name that could stand in for it."""

    code = "WORKTREE_BRANCH_EXISTS"


class RepositoryBusy(GitError):
    """The repository's lock was not free in time."""

    code = "REPOSITORY_BUSY"


@dataclass(frozen=True, slots=True)
class Git:
    """The git command on one repository.

    `work_tree` and `index` are given wherever files are touched, so that git looks for neither.
    `objects` is a repository's object store, for a `git_dir` that has none of its own.
    """

    git_dir: Path
    work_tree: Path | None = None
    index: Path | None = None
    objects: Path | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)

    def run(
        self,
        *arguments: str | bytes,
        stdin: bytes = b"",
        seconds: float = SECONDS,
        fine: Sequence[int] = (0,),
    ) -> bytes:
        """Its standard output. Raises `GitError` for an exit code that is not `fine`."""
        return self.outcome(*arguments, stdin=stdin, seconds=seconds, fine=fine)[1]

    def outcome(
        self,
        *arguments: str | bytes,
        stdin: bytes = b"",
        seconds: float = SECONDS,
        fine: Sequence[int] = (0,),
    ) -> tuple[int, bytes]:
        """The same, with its exit code first."""
        process = self._start(arguments, stderr=subprocess.PIPE)
        try:
            out, err = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise GitError(f"{_shown(arguments)} took longer than {seconds:g} s.") from None
        finally:
            _end(process)
        if process.returncode not in fine:
            raise GitError(f"{_shown(arguments)} failed.", storable(err).strip()[-4000:])
        return process.returncode, out

    def word(self, *arguments: str | bytes, stdin: bytes = b"") -> str:
        """Its standard output as text without the last line end."""
        return storable(self.run(*arguments, stdin=stdin)).rstrip("\n")

    def read(self, *arguments: str, limit: int, seconds: float = SECONDS) -> tuple[bytes, bool]:
        """At most `limit` bytes of its standard output, and whether there was more.

        Raises `GitError` when it failed or took too long before the limit was reached.
        """
        process = self._start(arguments, stderr=subprocess.DEVNULL)
        timer = threading.Timer(seconds, _end, [process])
        timer.start()
        try:
            assert process.stdout is not None
            found = process.stdout.read(limit + 1)
            if len(found) <= limit and process.wait(seconds):
                raise GitError(f"{_shown(arguments)} failed.")
        finally:
            timer.cancel()
            _end(process)
        return found[:limit], len(found) > limit

    def _start(self, arguments: Sequence[str | bytes], *, stderr: int) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                ["git", *arguments],
                cwd=self.work_tree or (self.git_dir if self.git_dir.is_dir() else "/"),
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                start_new_session=True,
            )
        except OSError as error:
            raise GitError(f"git could not be started: {error.strerror}.") from error

    def _environment(self) -> dict[str, str]:
        places = {
            "GIT_DIR": self.git_dir,
            "GIT_WORK_TREE": self.work_tree,
            "GIT_INDEX_FILE": self.index,
            "GIT_OBJECT_DIRECTORY": self.objects,
        }
        return {
            **environment(self.settings),
            **{name: str(path) for name, path in places.items() if path is not None},
            **self.variables,
        }


def environment(settings: Mapping[str, str] | None = None) -> dict[str, str]:
    """All that git is told besides its arguments, with these settings over ours."""
    merged = {**_SETTINGS, **(settings or {})}
    told = {"GIT_CONFIG_COUNT": str(len(merged))}
    for n, (name, value) in enumerate(merged.items()):
        told |= {f"GIT_CONFIG_KEY_{n}": name, f"GIT_CONFIG_VALUE_{n}": value}
    return {"PATH": os.environ.get("PATH", os.defpath), **_ENVIRONMENT, **told}


def storable(text: bytes) -> str:
    """Text that PostgreSQL and JSON take: valid, without NUL."""
    return text.decode("utf-8", "replace").replace("\0", "\ufffd")


def _shown(arguments: Sequence[str | bytes]) -> str:
    # The first word only: the others may name a URL.
    return f"git {os.fsdecode(arguments[0])}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process with all that it started, and close what leads to it."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
