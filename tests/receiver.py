"""A server on loopback that takes what is posted to it, as well or badly as a test wants."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOOPBACK = "127.0.0.0/8"


@dataclass(frozen=True, slots=True)
class Taken:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers["webhook-id"]

    @property
    def told(self) -> dict[str, Any]:
        """The body's JSON."""
        return dict(json.loads(self.body))


# What is done with a request: a status to answer with, or None for no answer at all.
Manner = Callable[[Taken], int | None]


class Receiver:
    """What came, in its order, whatever was answered; `manner` says what is.

    `connections` counts those that were made to it; `keeps` says whether it lets them go on.
    """

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.connections = 0
        self.keeps = True
        self.manner: Manner = lambda taken: 204
        self.let_go = threading.Event()
        self.url = ""

    @property
    def keys(self) -> list[str]:
        return [each.key for each in self.taken]

    def hang(self, taken: Taken) -> int | None:
        """Answer nothing until the test lets go."""
        self.let_go.wait(30)
        return None


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver at a port of its own, as long as the block lasts."""
    told = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            told.connections += 1
            super().setup()

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            names = {name.lower(): value for name, value in self.headers.items()}
            taken = Taken(self.path, names, body)
            told.taken.append(taken)
            status = told.manner(taken)
            if status is None:
                self._reset()
                return
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", "http://169.254.169.254/")
            self.send_header("content-length", "0")
            self.end_headers()
            # Without a word of it to the other side.
            self.close_connection |= not told.keeps

        def _reset(self) -> None:
            # Closed with nothing left to wait for: the other side sees a reset.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 256  # Many are posted at once.

    server = Server(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    told.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.let_go.set()
        server.shutdown()
        server.server_close()
        thread.join()
