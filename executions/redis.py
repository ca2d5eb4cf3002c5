"""The one Redis client of a process, and the channels on which it is told to look at rows."""

from __future__ import annotations

from functools import cache
from uuid import UUID

import redis
from django.conf import settings

# Told when a run must look at its row at once (cancel, pause).
CONTROL = "signalbox:control"


def channel(execution_id: UUID | str) -> str:
    """Where an execution's sequence numbers and tokens are published."""
    return f"signalbox:execution:{execution_id}"


@cache
def client() -> redis.Redis:
    """The shared client: bounded waits, because a hint may be late but must never hang."""
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=2,
        socket_connect_timeout=2,
        health_check_interval=15,
        decode_responses=True,
    )
