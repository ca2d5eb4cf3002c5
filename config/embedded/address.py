"""Remember by which passwords and loopback ports a folder's services are reached."""

import json
import os
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

LOOPBACK = "127.0.0.1"


def free_port() -> int:
    """A loopback port that nobody holds at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Address:
    """Passwords and ports of one folder, chosen once and kept in `services.json` (mode 0600).

    An agent's Bash may reach the sockets; it must never read this file.
    """

    admin_password: str
    password: str
    postgres_port: int
    redis_port: int

    @classmethod
    def of(cls, folder: Path) -> Self:
        """The address kept in the folder, or a new one, kept from now on."""
        kept = folder / "services.json"
        if kept.exists():
            return cls(**json.loads(kept.read_text()))
        address = cls(
            admin_password=secrets.token_urlsafe(32),
            password=secrets.token_urlsafe(32),
            postgres_port=free_port(),
            redis_port=free_port(),
        )
        address.keep(folder)
        return address

    def keep(self, folder: Path) -> None:
        """Write the address so that a crash leaves the old or the new one, never half."""
        written = folder / "services.json.new"
        written.unlink(missing_ok=True)
        with open(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(asdict(self), file, indent=2)
            file.flush()
            os.fsync(file.fileno())
        written.replace(folder / "services.json")
