"""A body over the limit is refused at the door: never loaded, and the caller gets to read why."""

import asyncio
import http.client
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from agents.rest.body_limit import limit_body
from tests.agents.rest.serving import serving

LIMIT = 10_000
Address = tuple[str, int]


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Tell what arrived: the body's length, the Content-Length header and the messages."""
    length, messages, more = 0, 0, True
    while more:
        message = await receive()
        length, messages = length + len(message["body"]), messages + 1
        more = message["more_body"]
    declared = [value.decode() for name, value in scope["headers"] if name == b"content-length"]
    body = json.dumps([length, declared, messages]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def address() -> Iterator[Address]:
    with serving(limit_body(application, LIMIT)) as found:
        yield found


def post(address: Address, body: Any, **headers: str) -> tuple[int, Any, http.client.HTTPResponse]:
    connection = http.client.HTTPConnection(*address, timeout=20)
    connection.request("POST", "/api/v0/x", body, headers)
    answer = connection.getresponse()
    found = answer.status, json.loads(answer.read()), answer
    connection.close()
    return found


def test_a_body_of_the_limit_arrives(address: Address) -> None:
    status, arrived, _ = post(address, b"x" * LIMIT)

    assert (status, arrived) == (200, [LIMIT, [str(LIMIT)], 1])


def test_no_body_arrives_as_none(address: Address) -> None:
    assert post(address, None)[1] == [0, ["0"], 1]


def test_a_chunked_body_arrives_with_its_length(address: Address) -> None:
    assert post(address, iter([b"x" * 10] * 5))[1] == [50, ["50"], 1]


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("times", [2, 10, 1000])
def test_a_larger_body_is_413(address: Address, *, chunked: bool, times: int) -> None:
    body = iter([b"x" * LIMIT] * times) if chunked else b"x" * LIMIT * times
    headers = {"X-Request-Id": "req-1"}
    try:
        status, problem, answer = post(address, body, **headers)
    except (BrokenPipeError, ConnectionResetError):
        # Far over the limit the rest is not read to its end, which a client may notice first.
        assert times == 1000
        return

    assert (status, problem["code"], problem["limit"]) == (413, "BODY_TOO_LARGE", LIMIT)
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"] == problem["request_id"] == "req-1"


def test_who_asks_first_need_not_send(address: Address) -> None:
    with socket.create_connection(address, timeout=20) as client:
        client.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999\r\n\r\n"
        )
        first = client.recv(100)

    assert first.startswith(b"HTTP/1.1 413")


def test_other_traffic_is_not_touched(address: Address) -> None:
    post(address, b"x" * LIMIT * 3)

    assert post(address, b"ab")[0] == 200


class Caller:
    """What a server does for one request, with the messages that are given."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return self.messages.pop(0)

    async def send(self, message: dict[str, Any]) -> None:
        self.sent.append(message)


def test_a_lie_about_the_length_does_not_help() -> None:
    chunk = {"type": "http.request", "body": b"x" * LIMIT, "more_body": True}
    end = {"type": "http.disconnect"}
    caller = Caller(chunk, chunk, end)
    scope = {"type": "http", "headers": [(b"content-length", b"5")]}

    asyncio.run(limit_body(application, LIMIT)(scope, caller.receive, caller.send))

    assert caller.sent[0]["status"] == 413


def test_a_caller_who_goes_away_is_let_go() -> None:
    caller = Caller({"type": "http.disconnect"})
    scope = {"type": "http", "headers": []}

    asyncio.run(limit_body(application, LIMIT)(scope, caller.receive, caller.send))

    assert caller.sent == []


def test_what_is_no_request_passes() -> None:
    seen = []

    async def lifespan(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    caller = Caller()
    asyncio.run(limit_body(lifespan, LIMIT)({"type": "lifespan"}, caller.receive, caller.send))

    assert seen == ["lifespan"]
