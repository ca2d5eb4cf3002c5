"""A local server that speaks the wire protocols of OpenAI and Anthropic, for tests and benches.

`python -m tests.model_server --port 0` prints its address and serves until it is ended;
`GET /requests` there lists what was asked.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import socket
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import uvicorn

from agents.runtime.scripts import find_turns, played_turn
from tests.model_wire import Answer, anthropic_events, chat_events, responses_events

__all__ = ["Answer", "Asked", "ModelServer", "refused_url"]

Events = Callable[[Answer, str, int], Iterator[str]]
Receive = Callable[[], Coroutine[Any, Any, dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

_ROUTES: dict[str, tuple[str, Events]] = {
    "/v1/chat/completions": ("chat", chat_events),
    "/v1/responses": ("responses", responses_events),
    "/v1/messages": ("anthropic", anthropic_events),
}
_DEADLINE = 10.0


@dataclass(slots=True)
class Asked:
    """One recorded request. `outcome` is open, answered, failed, cut or disconnected.

    `digest` is equal for requests of one protocol with the same conversation, so that a reply
    which was asked for again shows; `asked_at` (seconds since 1970) tells whether that was after
    the first one had been committed. Give each execution its own prompt when using it.
    """

    number: int
    protocol: str
    model: str
    body: dict[str, Any]
    headers: dict[str, str]
    client_port: int
    outcome: str = "open"
    asked_at: float = field(default_factory=time.time)
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        text = json.dumps([self.protocol, self.conversation()], sort_keys=True)
        self.digest = hashlib.sha256(text.encode()).hexdigest()

    def conversation(self) -> list[dict[str, Any]]:
        spoken = self.body.get("messages", self.body.get("input", []))
        return [{"role": "user", "content": spoken}] if isinstance(spoken, str) else spoken

    def first_prompt(self) -> str:
        users = (each for each in self.conversation() if each.get("role") == "user")
        return _text(next(users, {}).get("content"))

    def turn(self) -> int:
        """How many turns the model has had: runs of what it said, since one may be many items."""
        ours = [_is_models(each) for each in self.conversation()]
        return sum(now and not before for before, now in zip([False, *ours], ours, strict=False))

    def as_json(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "protocol": self.protocol,
            "model": self.model,
            "turn": self.turn(),
            "prompt": self.first_prompt()[:200],
            "asked_at": self.asked_at,
            "digest": self.digest,
            "outcome": self.outcome,
        }


def _is_models(item: Mapping[str, Any]) -> bool:
    return item.get("role") == "assistant" or item.get("type") in {"function_call", "reasoning"}


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content)
    return str(content or "")


class ModelServer:
    """Serves on a free loopback port, in a thread of its own, while it is entered.

    Planned answers are given first, in their order. Without any, a script in the first user
    message is played as `scripted:play` does, and any other prompt is echoed; a model named
    `slow-SECONDS` waits before its first byte. `latency` delays every answer.
    """

    def __init__(self, *, port: int = 0, latency: float = 0.0) -> None:
        self.requests: list[Asked] = []
        self.latency = latency
        self._planned: deque[Answer] = deque()
        self._socket = socket.create_server(("127.0.0.1", port), backlog=2048)
        # asyncio turns Nagle's algorithm off only for sockets that it made: 40 ms for each answer.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            log_level="critical",  # A stream that is cut on purpose would be logged as an error.
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.serve, daemon=True)

    @property
    def url(self) -> str:
        """The address for Anthropic's protocol, which adds `/v1` itself."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def openai_url(self) -> str:
        return f"{self.url}/v1"

    def plan(self, *answers: Answer) -> None:
        """Give these to the next requests, one each."""
        self._planned.extend(answers)

    def forget(self) -> None:
        """Drop what was recorded and planned, for the next test."""
        self.requests = []
        self.latency = 0.0
        self._planned.clear()

    def wait_for(self, outcome: str) -> None:
        """Return once some request ended so. Raises AssertionError after ten seconds."""
        pulse = threading.Event()
        for _ in range(int(_DEADLINE / 0.02)):
            if any(asked.outcome == outcome for asked in self.requests):
                return
            pulse.wait(0.02)
        outcomes = [asked.outcome for asked in self.requests]
        raise AssertionError(f"no request ended as {outcome}: {outcomes}")

    def serve(self) -> None:
        """Serve in this thread until the server is told to stop."""
        self._server.run(sockets=[self._socket])

    def __enter__(self) -> Self:
        # The socket listens already, so a client may connect before the thread has come up.
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(_DEADLINE)
        self._socket.close()

    async def _app(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["method"] == "GET":
            await _send_json(send, 200, [asked.as_json() for asked in self.requests])
            return
        body = json.loads(await _body(receive))
        protocol, events = _ROUTES[scope["path"]]
        asked = self._record(protocol, body, scope)
        answering = asyncio.create_task(self._answer(asked, events, send))
        leaving = asyncio.create_task(receive())
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if answering.done():
            answering.result()
            return
        answering.cancel()
        asked.outcome = "disconnected"

    def _record(self, protocol: str, body: dict[str, Any], scope: dict[str, Any]) -> Asked:
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        number, port = len(self.requests) + 1, scope["client"][1]
        self.requests.append(Asked(number, protocol, body["model"], body, headers, port))
        return self.requests[-1]

    async def _answer(self, asked: Asked, events: Events, send: Send) -> None:
        answer = self._planned.popleft() if self._planned else _unplanned(asked)
        await asyncio.sleep(self.latency + answer.delay)
        if answer.status != 200:
            asked.outcome = "failed"
            await _send_json(send, answer.status, {"error": answer.error}, answer.headers)
            return
        await _start(send, 200, "text/event-stream", answer.headers)
        pieces = list(events(answer, asked.model, asked.number))
        for piece in pieces[: len(pieces) // 2] if answer.cut else pieces:
            await send({"type": "http.response.body", "body": piece.encode(), "more_body": True})
            await asyncio.sleep(answer.pause)
        asked.outcome = "cut" if answer.cut else "answered"
        if answer.cut == "abort":
            # The server closes a connection whose application fails within a response.
            raise ConnectionAbortedError("told to cut the stream")
        await send({"type": "http.response.body", "body": b""})


def _unplanned(asked: Asked) -> Answer:
    delay = float(asked.model.removeprefix("slow-")) if asked.model.startswith("slow-") else 0.0
    prompt = asked.first_prompt()
    if find_turns(prompt) is None:
        return Answer(text=prompt, delay=delay)
    turn = played_turn(prompt, asked.turn())
    if turn.fail:
        return Answer(status=400, error={"message": f"the script fails here with {turn.fail}"})
    # A turn's delay is spread over its events, about one for each word and two for each call.
    steps = len(turn.say.split(" ")) + 2 * len(turn.tools) + 3
    return Answer(
        text=turn.say,
        tools=turn.tools,
        output_tokens=5 if turn.tokens is None else turn.tokens,
        delay=delay,
        pause=turn.delay / steps,
    )


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        body += bytes(message.get("body", b""))
        if not message.get("more_body"):
            return body


async def _start(send: Send, status: int, kind: str, headers: Mapping[str, str]) -> None:
    named = {"content-type": kind, **headers}
    pairs = [(name.encode(), value.encode()) for name, value in named.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})


async def _send_json(
    send: Send, status: int, value: Any, headers: Mapping[str, str] | None = None
) -> None:
    await _start(send, status, "application/json", headers or {})
    await send({"type": "http.response.body", "body": json.dumps(value).encode()})


def refused_url() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as once:
        return f"http://127.0.0.1:{once.getsockname()[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds before each answer")
    options = parser.parse_args()
    server = ModelServer(port=options.port, latency=options.latency)
    print(server.url, flush=True)  # noqa: T201 - the caller reads the address here.
    server.serve()


if __name__ == "__main__":
    main()
