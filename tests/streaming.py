"""Reading streams of server-sent events from a real server."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

from django.core.asgi import get_asgi_application
from django.db import connection

from tests.agents.rest.serving import serving
from tests.factories import API
from tests.processes import wait_until

# A line waits for older transactions of the whole server, those of other tests among them.
PATIENCE = 60


@dataclass
class Event:
    """One event; `data` is None where the server only said how far the stream has come."""

    id: str = ""
    type: str = ""
    data: Any = None


@dataclass
class Reader:
    """A stream that is being read in a thread of its own."""

    status: int
    events: queue.Queue[Event | None] = field(default_factory=queue.Queue)
    place: str = ""

    def next(self) -> Event:
        """The next event. Raises EOFError at the end of the stream."""
        event = self.events.get(timeout=PATIENCE)
        if event is None:
            raise EOFError
        return event

    def take(self, number: int) -> list[Event]:
        return [self.next() for _ in range(number)]

    def rest(self) -> list[Event]:
        """What comes until the stream ends."""
        events = []
        while (event := self.events.get(timeout=PATIENCE)) is not None:
            events.append(event)
        return events

    def is_silent(self, seconds: float = 1.5) -> bool:
        try:
            self.events.get(timeout=seconds)
        except queue.Empty:
            return True
        return False

    def ends(self) -> bool:
        return self.events.get(timeout=PATIENCE) is None


@dataclass
class Server:
    """Signalbox on a loopback port."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @contextmanager
    def reading(self, path: str, headers: dict[str, str]) -> Iterator[Reader]:
        """The stream, of which the beginning has been read; events alone come out of it."""
        _wait_for_older_transactions()
        connected = HTTPConnection(self.host, self.port, timeout=PATIENCE)
        connected.request("GET", API + path, headers=headers)
        answer = connected.getresponse()
        reader, opened = Reader(answer.status), threading.Event()
        thread = threading.Thread(target=_read, args=(answer, reader, opened))
        thread.start()
        try:
            assert opened.wait(PATIENCE)
            yield reader
        finally:
            with suppress(OSError):
                # Closing alone would not wake the thread that reads.
                connected.sock.shutdown(socket.SHUT_RDWR)
            thread.join(PATIENCE)
            connected.close()

    @contextmanager
    def stalled(self, path: str, headers: dict[str, str]) -> Iterator[Stalled]:
        """The stream, of which nothing is read until it is told to read on."""
        raw = socket.create_connection((self.host, self.port), PATIENCE)
        try:
            # Little fits on the way, so that the server notices.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
            lines = [f"GET {API}{path} HTTP/1.1", f"Host: {self.host}", "Connection: close"]
            lines += [f"{name}: {value}" for name, value in headers.items()]
            raw.sendall("\r\n".join([*lines, "", ""]).encode())
            yield Stalled(raw)
        finally:
            raw.close()


@dataclass
class Stalled:
    """A stream that nobody reads."""

    raw: socket.socket

    def read_on(self) -> list[Event]:
        """Everything until its end."""
        answer = HTTPResponse(self.raw)
        answer.begin()
        reader = Reader(answer.status)
        _read(answer, reader, threading.Event())
        return [event for event in iter(reader.events.get, None) if event is not None]


@contextmanager
def a_server() -> Iterator[Server]:
    with serving(get_asgi_application()) as (host, port):
        yield Server(host, port)


def _read(answer: HTTPResponse, reader: Reader, opened: threading.Event) -> None:
    event = Event()
    try:
        for raw in answer:
            line = raw.decode().rstrip("\n")
            name, _, value = line.partition(": ")
            if name == "id":
                event.id = reader.place = value
            elif name == "event":
                event.type = value
            elif name == "data":
                event.data = json.loads(value)
            elif not line:
                if event.type:
                    reader.events.put(event)
                if event.id:
                    opened.set()
                event = Event()
    except (OSError, HTTPException):
        pass
    finally:
        opened.set()
        reader.events.put(None)


def _wait_for_older_transactions() -> None:
    """A stream begins before whatever is under way anywhere; let that be over."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        next_one = cursor.fetchone()[0]

        def are_over() -> bool:
            cursor.execute("SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
            return bool(cursor.fetchone()[0] >= next_one)

        wait_until(are_over, seconds=PATIENCE)
