"""Servers that break the connection that is kept, and what becomes of the posts."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from agents import posting
from agents.posting import Answer, Post, kept_connections, post
from agents.runtime import portal
from tests.boards.gateways import on_loopback

HEAD_END = b"\r\n\r\n"


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    on_loopback(settings)


def next_request(client: socket.socket) -> bytes:
    """The body of the next request; empty where there comes none."""
    read = b""
    while HEAD_END not in read:
        piece = client.recv(65536)
        if not piece:
            return b""
        read += piece
    head, _, body = read.partition(HEAD_END)
    (length,) = (
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    )
    while len(body) < length:
        body += client.recv(65536)
    return body


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server that hands each connection to `serve` in a thread of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:  # The test is over.
                    return
                threading.Thread(target=serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
        listener.shutdown(socket.SHUT_RDWR)


def post_all(url: str, count: int) -> list[Answer]:
    with kept_connections() as over:
        return [
            portal.submit(post(Post(url, {}, str(number).encode()), over)).result()
            for number in range(count)
        ]


def test_what_breaks_a_kept_connection_is_asked_once_more() -> None:
    """As hand-made servers do: a 204 has no body, and what comes is no answer to the next post."""
    taken: list[bytes] = []

    def serve(client: socket.socket) -> None:
        while body := next_request(client):
            taken.append(body)
            client.sendall(b"HTTP/1.1 204 No Content\r\n\r\nok")

    with server(serve) as url:
        assert post_all(url, 4) == [Answer(204)] * 4
    assert set(taken) == {b"0", b"1", b"2", b"3"}


def test_what_breaks_on_a_new_connection_has_failed() -> None:
    def serve(client: socket.socket) -> None:
        next_request(client)
        client.close()

    with server(serve) as url:
        (answer,) = post_all(url, 1)
    assert (answer.status, answer.is_taken) == (0, False)
    assert "failed" in answer.problem


def test_a_success_whose_body_does_not_end_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "SECONDS", posting._READ_SECONDS / 2)
    over = threading.Event()

    def serve(client: socket.socket) -> None:
        next_request(client)
        client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nok")
        over.wait(30)

    with server(serve) as url:
        began = time.monotonic()
        assert post_all(url, 1) == [Answer(200)]
        over.set()
    assert time.monotonic() - began < 10
