"""How web comes by its port."""

import socket
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from config import listening


class Healthy(BaseHTTPRequestHandler):
    """Answers 200 to /healthz alone."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_two_starts_at_once_get_two_ports() -> None:
    first, second = listening.take("127.0.0.1", None), listening.take("127.0.0.1", None)
    with first.listener, second.listener:
        assert first.port >= listening.DEFAULT_PORT
        assert second.port > first.port


def test_a_port_asked_for_by_number_is_refused_when_it_is_taken() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(listening.PortTakenError, match=f"Port {port} of 127.0.0.1 is taken"):
            listening.take("127.0.0.1", port)


def test_port_0_is_any_port_and_its_address_is_printed_for_this_machine() -> None:
    door = listening.take("0.0.0.0", 0)  # noqa: S104 - Every address is what is tested.
    with door.listener:
        assert door.url == f"http://127.0.0.1:{door.port}"


def test_connections_on_the_inherited_socket_send_at_once() -> None:
    door = listening.take("127.0.0.1", 0)
    with door.listener, socket.create_connection(("127.0.0.1", door.port)):
        accepted, _ = door.listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_the_door_is_answered_once_a_server_serves_the_socket() -> None:
    door = listening.take("127.0.0.1", 0)
    assert not door.is_answered(0.05)
    server = HTTPServer(("127.0.0.1", 0), Healthy, bind_and_activate=False)
    server.socket.close()
    server.socket = door.listener
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        assert door.is_answered(5)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
