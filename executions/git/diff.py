"""What changed between two commits, in a form that JSON can hold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from executions.git.command import Git, storable

PATCH_BYTES = 1024 * 1024
MAX_FILES = 2000

_FLAGS = ("-r", "--find-renames", "--no-ext-diff", "--no-textconv", "--no-color")
_STATUS = {
    "A": "added",
    "C": "copied",
    "D": "deleted",
    "M": "modified",
    "R": "renamed",
    "T": "type_changed",
}


@dataclass(frozen=True, slots=True)
class ChangedFile:
    """One file of a diff. Bytes of a name that are not UTF-8 are written as `\\xNN`."""

    path: str
    old_path: str
    status: str
    additions: int
    deletions: int
    binary: bool


@dataclass(frozen=True, slots=True)
class Diff:
    """`stat` counts all; `cut` says that `patch` or `files` does not show all of it."""

    stat: dict[str, int]
    files: list[ChangedFile]
    patch: str
    cut: bool

    def as_json(self) -> dict[str, Any]:
        """It as PostgreSQL stores it."""
        return asdict(self)


def diff(git_dir: Path, base: str, commit: str, *, patch_bytes: int = PATCH_BYTES) -> Diff:
    """All that `commit` has otherwise than `base`, its patch at most `patch_bytes` long."""
    git = Git(git_dir)
    files = list(_files(git, base, commit))
    patch, is_cut = git.read(
        "diff-tree", "--patch", "--full-index", *_FLAGS, base, commit, limit=patch_bytes
    )
    if is_cut:
        patch = patch[: patch.rfind(b"\n") + 1]
    return Diff(
        stat={
            "files": len(files),
            "additions": sum(file.additions for file in files),
            "deletions": sum(file.deletions for file in files),
        },
        files=files[:MAX_FILES],
        patch=storable(patch),
        cut=is_cut or len(files) > MAX_FILES,
    )


def _files(git: Git, base: str, commit: str) -> Iterator[ChangedFile]:
    """Two reports over the same files in the same order: the first says how, the second how much.

    With `-z` (git-diff-tree, "Raw output format"): `:modes ids STATUS NUL path NUL [path NUL]`,
    and `added TAB deleted TAB path NUL`, where a rename has an empty path and then two more.
    """
    out = git.run("diff-tree", "-z", "--raw", "--numstat", *_FLAGS, base, commit)
    words = iter(out.split(b"\0")[:-1])
    changes: list[tuple[str, bytes, bytes]] = []
    for word in words:
        if word.startswith(b":"):
            letter = word.rsplit(b" ", 1)[1][:1].decode()
            old = next(words)
            changes.append((letter, old, next(words) if letter in "RC" else old))
            continue
        added, deleted, name = word.split(b"\t", 2)
        if not name:
            next(words), next(words)
        letter, old, new = changes.pop(0)
        yield ChangedFile(
            path=name_of(new),
            old_path=name_of(old) if letter in "RC" else "",
            status=_STATUS.get(letter, "modified"),
            additions=int(added) if added != b"-" else 0,
            deletions=int(deleted) if deleted != b"-" else 0,
            binary=added == b"-",
        )


def name_of(path: bytes) -> str:
    """A path as text that can be stored."""
    return path.decode("utf-8", "backslashreplace")
