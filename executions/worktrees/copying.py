"""Copies files that git does not track from a repository's work tree into a worktree."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from executions.worktrees.errors import WorktreeSetupFailed


def copy_files(top: Path, directory: Path, names: Iterable[str]) -> None:
    """Copy each file, or folder with all below it, that is below `top`; a missing one is passed.

    What the worktree has already, it has from git, and keeps. Nothing is read from outside `top`
    or written outside `directory`, whatever links say. Raises `WorktreeSetupFailed` for a name
    that tries.
    """
    for name in names:
        relative = _checked(name)
        source = top / relative
        if source.is_dir() and not source.is_symlink():
            for file in sorted(source.rglob("*")):
                if not file.is_dir():
                    _copy(top, directory, file.relative_to(top))
        elif source.exists():
            _copy(top, directory, Path(relative))


def _checked(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts or path.parts[0] == ".git":
        raise WorktreeSetupFailed(f"The file to copy, {name!r}, is not below the repository.")
    return path


def _copy(top: Path, directory: Path, relative: Path) -> None:
    source, target = (top / relative).resolve(), directory / relative
    if not source.is_relative_to(top.resolve()) or source.is_relative_to(top.resolve() / ".git"):
        raise WorktreeSetupFailed(f"The file to copy, {str(relative)!r}, leads out of its folder.")
    if not target.parent.resolve().is_relative_to(directory.resolve()):
        raise WorktreeSetupFailed(f"The place of {str(relative)!r} leads out of the worktree.")
    if target.exists() or target.is_symlink() or not source.is_file():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(source, target)
