"""Short words for git repositories in tests, through the git command as a person uses it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_ENVIRONMENT = {
    "GIT_AUTHOR_EMAIL": "person@example.org",
    "GIT_AUTHOR_NAME": "A person",
    "GIT_COMMITTER_EMAIL": "person@example.org",
    "GIT_COMMITTER_NAME": "A person",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
}


def git(folder: Path, *arguments: str | bytes) -> str:
    """What git prints when a person runs it in the folder."""
    done = subprocess.run(
        ["git", "-c", "protocol.file.allow=always", *arguments],
        cwd=folder,
        env={**os.environ, **_ENVIRONMENT},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode("utf-8", "backslashreplace").strip()


def a_repository(folder: Path, files: dict[str, str] | None = None) -> Path:
    """A repository with one commit on `main`."""
    folder.mkdir(parents=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    for name, text in (files or {"README": "hello\n"}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message=First")
    return folder


def is_untouched(folder: Path) -> bool:
    """Whether the person's checkout is as it was, and the repository sound."""
    is_sound = not git(folder, "fsck", "--strict", "--no-dangling")
    return is_sound and git(folder, "status", "--porcelain") == ""


def files_of(folder: Path, commit: str) -> list[str]:
    """The paths of a commit, each with its mode."""
    lines = git(folder, "ls-tree", "-r", "-z", commit).rstrip("\0").split("\0")
    return [f"{line[:6]} {line.split(chr(9), 1)[1]}" for line in lines if line]
