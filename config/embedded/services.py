"""Share a folder's embedded services between processes, from the first user to the last."""

import fcntl
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from config.embedded.address import Address
from config.embedded.postgres import Postgres
from config.embedded.redis import Redis

KINDS: dict[str, type[Postgres] | type[Redis]] = {"DATABASE_URL": Postgres, "REDIS_URL": Redis}


class Services:
    """This process's use of the services of one folder, until `leave` or its end.

    Each user holds a shared lock on `users.lock`; the kernel drops it when the user dies, however
    it dies. Who leaves and finds no other user stops the services. After a kill -9 of the last
    user they run on, and the next user takes them over.
    """

    def __init__(self, folder: Path, *, durable: bool, kinds: Collection[str]) -> None:
        self.folder = folder
        self._owner = os.getpid()
        self._users: IO[str] | None = _open(folder / "users.lock")
        fcntl.flock(self._users, fcntl.LOCK_SH)
        address = Address.of(folder)
        self._servers = {kind: KINDS[kind](folder, address, durable=durable) for kind in kinds}

    @property
    def urls(self) -> dict[str, str]:
        """The addresses, by the names of their environment variables."""
        return {kind: server.url for kind, server in self._servers.items()}

    @property
    def database_url(self) -> str:
        """The address of PostgreSQL."""
        return self.urls["DATABASE_URL"]

    @property
    def redis_url(self) -> str:
        """The address of Redis."""
        return self.urls["REDIS_URL"]

    def revive(self) -> list[str]:
        """Start again what died, and say what that was.

        Raises EmbeddedError when it does not come up.
        """
        dead = [kind for kind, server in self._servers.items() if not server.is_running()]
        if dead:
            with _alone(self.folder):
                self._ensure()
        return dead

    def leave(self) -> None:
        """End this use; the last user stops the services. A second call does nothing."""
        # A forked child has this object too, but the use is its parent's.
        if self._users is None or self._owner != os.getpid():
            return
        with _alone(self.folder):
            self._leave_alone()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def _ensure(self) -> None:
        for server in self._servers.values():
            server.ensure()

    def _leave_alone(self) -> None:
        if self._users is not None:
            self._users.close()
            self._users = None
        with _open(self.folder / "users.lock") as last:
            try:
                fcntl.flock(last, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            _stop(self.folder)


def ensure(
    folder: Path, *, durable: bool = True, kinds: Collection[str] = tuple(KINDS)
) -> Services:
    """Have the services of the folder running, shared with who else uses them.

    Not `durable` is for what is thrown away: a crash of the machine may lose everything.
    Raises EmbeddedError.
    """
    folder = folder.absolute().resolve()
    # PostgreSQL's account may have to pass through; what is private has modes of its own.
    folder.mkdir(mode=0o711, parents=True, exist_ok=True)
    with _alone(folder):
        services = Services(folder, durable=durable, kinds=kinds)
        try:
            services._ensure()
        except BaseException:
            services._leave_alone()
            raise
    return services


def stop(folder: Path) -> None:
    """Stop the services of the folder, whoever uses them."""
    folder = folder.absolute().resolve()
    if not folder.exists():
        return
    with _alone(folder):
        _stop(folder)


def _stop(folder: Path) -> None:
    if not (folder / "services.json").exists():
        return
    address = Address.of(folder)
    for kind in KINDS.values():
        kind(folder, address).stop()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process at a time look at the services and change them."""
    with _open(folder / "change.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _open(path: Path) -> IO[str]:
    return open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "w")
