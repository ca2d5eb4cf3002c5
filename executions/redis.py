"""The one Redis client of a process, and the channels on which it is told to look at rows."""

from __future__ import annotations

import time
from functools import cache
from uuid import UUID

import redis
from django.conf import settings

# Told when a run must look at its row at once (cancel, pause).
CONTROL = "signalbox:control"
# A Redis that hangs lets each caller wait to the end of its time.
_TIMEOUT_SECONDS = 2.0

_silent_until = float("-inf")


def channel(execution_id: UUID | str) -> str:
    """Where an execution's sequence numbers and tokens are published."""
    return f"signalbox:execution:{execution_id}"


@cache
def client() -> redis.Redis:
    """The shared client: bounded waits, because a hint may be late but must never hang."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        health_check_interval=15,
        decode_responses=True,
    )


def note_silence(error: redis.RedisError) -> None:
    """Remember for a moment that Redis let a caller wait in vain, if that is the error."""
    global _silent_until  # noqa: PLW0603  A process talks to one Redis.
    if isinstance(error, redis.TimeoutError):
        _silent_until = time.monotonic() + _TIMEOUT_SECONDS


def is_silent() -> bool:
    """Whether it did so a moment ago: what may be left undone then waits for it no second time."""
    return time.monotonic() < _silent_until
