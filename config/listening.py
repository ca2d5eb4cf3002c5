"""Take the port of the web server, and learn when it answers there."""

import errno
import socket
import urllib.error
import urllib.request
from dataclasses import dataclass

DEFAULT_PORT = 8000
PORTS_TRIED = 100
BACKLOG = 2048


class PortTakenError(Exception):
    """Another program listens there."""


@dataclass(frozen=True)
class Door:
    """The listening socket that web inherits.

    We listen ourselves, so that of two starts at once each gets a port of its own, and a restart
    of web lets callers wait instead of refusing them.
    """

    listener: socket.socket

    @property
    def port(self) -> int:
        """The port that was taken."""
        number: int = self.listener.getsockname()[1]
        return number

    @property
    def url(self) -> str:
        """Where a browser on this machine finds it."""
        host = str(self.listener.getsockname()[0])
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - Only compared.
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    def is_answered(self, seconds: float = 0.25) -> bool:
        """Whether `/healthz` answers within so many seconds."""
        request = urllib.request.Request(f"{self.url}/healthz")  # noqa: S310 - Our own address.
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(request, timeout=seconds) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False


def take(host: str, port: int | None) -> Door:
    """Listen on the port; with None on the first free one from 8000, with 0 on any.

    Raises PortTakenError for a port asked for by number, OSError for a host that is not ours.
    """
    last = DEFAULT_PORT + PORTS_TRIED
    for candidate in [port] if port is not None else range(DEFAULT_PORT, last):
        try:
            return _listen(host, candidate)
        except PortTakenError:
            continue
    if port is None:
        raise PortTakenError(f"Ports {DEFAULT_PORT} to {last - 1} of {host} are taken.")
    raise PortTakenError(f"Port {port} of {host} is taken. Choose another with --port.")


def _listen(host: str, port: int) -> Door:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # asyncio sets it on sockets that it knows to be TCP; uvicorn hands it ours as a nameless one.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise PortTakenError(str(port)) from error
    return Door(listener)
