"""A lock between all processes of a host, held by name."""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from executions.git.command import RepositoryBusy

_LOOK_SECONDS = 0.02


@contextmanager
def lock(path: Path, *, seconds: float) -> Iterator[None]:
    """Hold the lock file for the block; the kernel lets go of it when the process dies.

    Each call waits for every other one, threads of this process included. Raises
    `RepositoryBusy` when the lock was not free within `seconds`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        _take(file.fileno(), time.monotonic() + seconds)
        yield


def _take(descriptor: int, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise RepositoryBusy("The repository is busy.") from None
            time.sleep(_LOOK_SECONDS)
        else:
            return
