"""A body comes through a real server, and is read no further than it is wanted."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from boards.models import Webhook, WebhookPayload
from config.asgi import application
from tests.agents.rest.serving import serving
from tests.boards.agents import World
from tests.boards.hooks import BODY, github, make_hook
from tests.factories import API

LIMIT = 1024 * 1024
Address = tuple[str, int]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with serving(application) as found:
        yield found


@pytest.fixture
def hook() -> Webhook:
    return make_hook(World().board)


def post(address: Address, path: str, body: Any, headers: dict[str, str]) -> tuple[int, Any, Any]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read()), answer.headers
    connection.close()
    return found


def parts(body: bytes, size: int = 64 * 1024) -> Iterator[bytes]:
    """In chunks, without a Content-Length."""
    for at in range(0, len(body), size):
        yield body[at : at + size]


def path_of(hook: Webhook) -> str:
    return f"{API}/hooks/{hook.id}"


@pytest.mark.parametrize("shape", [bytes, parts])
@pytest.mark.parametrize("size", [2, LIMIT])
def test_a_body_of_the_limit_is_taken(
    address: Address, hook: Webhook, shape: Any, size: int
) -> None:
    body = b"x" * size
    status, told, headers = post(address, path_of(hook), shape(body), github(body))

    assert status == 202
    assert headers.get("Connection") is None
    payload = WebhookPayload.objects.get(pk=told["payload_id"])
    assert payload.body == body.decode()


@pytest.mark.parametrize("shape", [bytes, parts])
def test_a_larger_body_is_refused(address: Address, hook: Webhook, shape: Any) -> None:
    body = b"x" * (LIMIT + 1)
    status, told, _ = post(address, path_of(hook), shape(body), github(body))

    assert (status, told["code"], told["limit"]) == (413, "BODY_TOO_LARGE", LIMIT)
    assert not WebhookPayload.objects.filter(webhook=hook).exists()


def test_who_is_not_known_hears_so_whatever_is_sent(address: Address, hook: Webhook) -> None:
    body = b"x" * (LIMIT * 2)
    status, told, _ = post(address, f"{API}/hooks/{hook.board_id}", parts(body), github(body))

    assert (status, told["code"]) == (404, "WEBHOOK_NOT_FOUND")


def answered(address: Address, *lines: str, body: bytes = b"") -> bytes:
    """The beginning of what a request of these lines is answered with; it is left open."""
    with socket.create_connection(address, timeout=20) as client:
        client.sendall("\r\n".join([*lines, "Host: localhost", "", ""]).encode() + body)
        told = b""
        # The head and the body come apart.
        while not told.endswith(b"}") and (part := client.recv(65_536)):
            told += part
        return told


def test_nothing_of_the_body_is_waited_for_before_the_rest_is_known(
    address: Address, hook: Webhook
) -> None:
    unknown = f"POST {API}/hooks/{hook.board_id} HTTP/1.1"
    # Not one byte of the bodies is ever sent.
    assert b" 404 " in answered(address, unknown, "Content-Length: 100")
    known = f"POST {path_of(hook)} HTTP/1.1"
    assert b" 413 " in answered(address, known, f"Content-Length: {LIMIT + 1}")
    assert b" 413 " in answered(address, known, f"Content-Length: {10**15}")
    hook.is_enabled = False
    hook.save()
    assert b" 410 " in answered(address, known, "Transfer-Encoding: chunked")


def test_an_answer_before_the_end_of_the_body_closes_the_connection(
    address: Address, hook: Webhook
) -> None:
    known = f"POST {path_of(hook)} HTTP/1.1"
    told = answered(address, known, f"Content-Length: {LIMIT + 1}")
    assert b"\r\nconnection: close\r\n" in told.lower()


def test_a_body_that_breaks_off_is_not_taken(address: Address, hook: Webhook) -> None:
    signed = github(BODY[:10])
    lines = [f"{name}: {text}" for name, text in signed.items()]
    with socket.create_connection(address, timeout=20) as client:
        known = f"POST {path_of(hook)} HTTP/1.1"
        head = [known, "Host: localhost", f"Content-Length: {len(BODY)}", *lines, "", ""]
        client.sendall("\r\n".join(head).encode() + BODY[:10])
        client.shutdown(socket.SHUT_WR)
        told = client.recv(65_536)
    assert b" 202 " not in told
    # The next one is taken: nothing of it is left.
    assert post(address, path_of(hook), BODY, github(BODY))[0] == 202
    assert WebhookPayload.objects.filter(webhook=hook).count() == 1


def test_a_body_that_does_not_come_to_its_end_is_not_waited_for(
    address: Address, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.rest.late_body.SECONDS", 0.05)
    known = f"POST {path_of(hook)} HTTP/1.1"
    told = answered(address, known, "Content-Length: 100", body=b"x" * 10)
    assert b" 400 " in told
    assert b"BODY_INCOMPLETE" in told


def test_a_body_of_unknown_length_is_read_no_further_than_the_limit(
    address: Address, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.rest.late_body.SECONDS", 2.0)
    known = f"POST {path_of(hook)} HTTP/1.1"
    # More than the limit, and no end of it.
    chunk = b"%x\r\n" % (LIMIT + 1) + b"x" * (LIMIT + 1) + b"\r\n"
    told = answered(address, known, "Transfer-Encoding: chunked", body=chunk)
    assert b" 413 " in told
