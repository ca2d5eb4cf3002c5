"""The refs under which executions keep their trees: `refs/signalbox/{execution}/{turn}`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from executions.git.command import Git

_ROOT = "refs/signalbox/"


@dataclass(frozen=True, slots=True)
class KeptRef:
    """One of them, with its commit and that commit's time (Unix)."""

    execution_id: UUID
    name: str
    commit: str
    kept_at: float


def kept_refs(git_dir: Path) -> Iterator[KeptRef]:
    """All of the repository's; what is not called as one is passed."""
    form = "%(objectname) %(committerdate:unix) %(refname)"
    out = Git(git_dir).run("for-each-ref", f"--format={form}", _ROOT)
    for line in out.decode("utf-8", "replace").splitlines():
        commit, at, name = line.split(" ", 2)
        with suppress(ValueError):
            owner = UUID(name.removeprefix(_ROOT).split("/", 1)[0])
            yield KeptRef(owner, name, commit, float(at))


def delete_refs(git_dir: Path, refs: Iterable[KeptRef]) -> None:
    """Delete them if each is still as it was; the caller holds the repository's lock."""
    lines = "".join(f"delete {ref.name} {ref.commit}\n" for ref in refs)
    Git(git_dir).run("update-ref", "--stdin", stdin=lines.encode())
