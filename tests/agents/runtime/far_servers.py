"""A server on loopback that tests reach under public names and addresses, as WebFetch sees them."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agents.runtime.tools.fetching import Fetcher
from agents.runtime.tools.web import WebFetch

PUBLIC = "93.184.216.34"
OTHER = "2606:2800:220:1:248:1893:25c8:1946"

# Answers a request (head only) by writing to the connection.
Serve = Callable[[socket.socket, str], None]


def answer(body: bytes = b"hello", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def saying(*pieces: bytes) -> Serve:
    def serve(connection: socket.socket, head: str) -> None:
        for piece in pieces:
            connection.sendall(piece)

    return serve


@dataclass
class FarServer:
    """What it was asked, in order; `serve` answers every connection."""

    serve: Serve
    port: int = 0
    heads: list[str] = field(default_factory=list)
    dialled: list[tuple[str, int]] = field(default_factory=list)
    closed: threading.Event = field(default_factory=threading.Event)

    def fetcher(self, *answers: Sequence[str], **more: object) -> Fetcher:
        """Looks names up as these answers in turn, the last for ever, and dials this server for
        whatever address was let through."""
        left = list(answers) or [[PUBLIC]]

        def resolve(host: str, port: int) -> Sequence[str]:
            return left.pop(0) if len(left) > 1 else left[0]

        def dial(address: str, port: int) -> tuple[str, int]:
            self.dialled.append((address, port))
            return "127.0.0.1", self.port

        return Fetcher(resolve=resolve, dial=dial, **more)  # type: ignore[arg-type]

    def tool(self, *answers: Sequence[str], **more: object) -> WebFetch:
        return WebFetch(lambda: self.fetcher(*answers, **more))


@contextmanager
def far_server(serve: Serve, tls: ssl.SSLContext | None = None) -> Iterator[FarServer]:
    far = FarServer(serve)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        far.port = listening.getsockname()[1]
        threading.Thread(target=_accept, args=(listening, far, tls), daemon=True).start()
        yield far
        # Closing alone does not wake a thread that is in accept.
        listening.shutdown(socket.SHUT_RDWR)


def _accept(listening: socket.socket, far: FarServer, tls: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            return
        threading.Thread(target=_answer, args=(connection, far, tls), daemon=True).start()


def _answer(connection: socket.socket, far: FarServer, tls: ssl.SSLContext | None) -> None:
    try:
        with connection:
            if tls is not None:
                connection = tls.wrap_socket(connection, server_side=True)
            with connection:
                head = b""
                while b"\r\n\r\n" not in head:
                    piece = connection.recv(4096)
                    if not piece:
                        return
                    head += piece
                far.heads.append(head.decode())
                far.serve(connection, head.decode())
    except OSError:  # Whoever asked has left, as many of these tests want it.
        far.closed.set()


def certified(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's TLS for a name, and a client's that trusts nobody else."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    both = folder / "server.pem"
    both.write_bytes(secret + pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(both)
    return server, ssl.create_default_context(cadata=pem.decode())
