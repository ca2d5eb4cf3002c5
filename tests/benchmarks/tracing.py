"""Where the time of one run goes: spans around the engine's own functions, put from outside.

Each span counts its own time without that of the spans within it. The clock is the machine's
monotonic one, which processes share, so what lies between two processes can be told too.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any

from agents.redis import client

TRACES = "bench:traces"


class Spans(threading.local):
    """What the thread at hand has spent since `reset`, by the name of the span."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.begun = time.monotonic()
        self.seconds: dict[str, float] = defaultdict(float)
        self.times: dict[str, int] = defaultdict(int)
        self.within: list[float] = []
        self.open: list[tuple[str, float]] = []
        self.marks: dict[str, float] = {}
        self.at_publish: dict[str, Any] = {}

    def as_json(self) -> dict[str, Any]:
        """Also what spans that are still open have spent up to now."""
        seconds, times = dict(self.seconds), dict(self.times)
        inner, now = 0.0, time.monotonic()
        for (name, begun), within in zip(reversed(self.open), reversed(self.within), strict=True):
            seconds[name] = seconds.get(name, 0.0) + now - begun - within - inner
            times[name] = times.get(name, 0) + 1
            inner = now - begun
        return {"seconds": seconds, "times": times}


spans = Spans()


def span(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Count the time of a function under this name, and mark when it was last entered."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            begun = time.monotonic()
            spans.marks[name] = begun
            spans.within.append(0.0)
            spans.open.append((name, begun))
            try:
                return function(*arguments, **named)
            finally:
                taken = time.monotonic() - begun
                spans.open.pop()
                spans.seconds[name] += taken - spans.within.pop()
                spans.times[name] += 1
                if spans.within:
                    spans.within[-1] += taken

        return timed

    return decorate


def counted(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Count the calls of a function, and no time."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def counting(*arguments: Any, **named: Any) -> Any:
            spans.times[name] += 1
            return function(*arguments, **named)

        return counting

    return decorate


def _count_round_trips(wait: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(wait)
    def counting(connection: Any, conversation: Any, *arguments: Any, **named: Any) -> Any:
        if "set_autocommit" not in conversation.__name__:  # It tells the server nothing.
            begins = not connection.autocommit and connection.info.transaction_status == 0
            spans.times["PostgreSQL round trips"] += 1 + begins
        return wait(connection, conversation, *arguments, **named)

    return counting


def wrap(owner: Any, attribute: str, decorate: Callable[..., Any]) -> None:
    """Put a decorator around what the owner (a module or class) calls by this name."""
    setattr(owner, attribute, decorate(getattr(owner, attribute)))


def _install_everywhere() -> None:
    import psycopg
    from django.db.backends.postgresql.base import DatabaseWrapper
    from redis.connection import AbstractConnection

    from agents import redis
    from executions.engine import dispatch

    wrap(psycopg.Connection, "wait", _count_round_trips)
    wrap(AbstractConnection, "send_packed_command", counted("Redis round trips"))
    wrap(DatabaseWrapper, "connect", span("take a database connection"))
    wrap(dispatch, "dispatch", span("dispatch"))
    wrap(dispatch, "send", span("send"))
    wrap(redis, "publish", span("publish"))


def install_in_starter() -> None:
    """Trace this process, which starts runs."""
    from executions import actions

    _install_everywhere()
    wrap(actions, "start", span("start"))


def install_in_worker() -> None:
    """Trace this process, which carries runs out; each pushes what it found to `TRACES`."""
    from agents import redis
    from agents.runtime.tools.registry import Toolbox
    from executions import tasks, transcripts
    from executions.engine import claim, ends, permits
    from executions.engine.conversation import Conversation
    from executions.engine.files import Files
    from executions.engine.toolcalls import Ledger

    _install_everywhere()
    wrap(claim, "take", span("claim"))
    wrap(claim, "commit", span("commits of the turns"))
    wrap(claim, "start_call", span("commits before a tool"))
    wrap(transcripts, "load", span("read the transcript"))
    wrap(Ledger, "__init__", span("read the ledger"))
    wrap(Conversation, "_reply_to", span("model and portal"))
    wrap(Toolbox, "carry_out", span("tools"))
    for method in ("workspace_for", "keep", "finish"):
        wrap(Files, method, span(f"files: {method}"))
    wrap(ends, "_leave", span("commit of the end"))
    wrap(permits, "give_back", span("give the permit back"))
    wrap(redis, "publish", _remember)
    wrap(tasks, "carry_on", _told)


def _remember(publish: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(publish)
    def remembering(where: str, message: dict[str, Any]) -> None:
        publish(where, message)
        if "seq" in message:
            spans.at_publish = {"at": time.monotonic(), **spans.as_json()}

    return remembering


def _told(carry_on: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(carry_on)
    def telling(execution_id: Any, *arguments: Any) -> None:
        spans.reset()
        carry_on(execution_id, *arguments)
        told = {
            "id": str(execution_id),
            "begun": spans.begun,
            "published": spans.at_publish,
            "ended": time.monotonic(),
            **spans.as_json(),
        }
        client().rpush(TRACES, json.dumps(told))

    return telling
