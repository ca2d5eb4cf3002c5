"""The one Redis client of a process, and hints: words that there is something to read.

Hints carry no truth: who misses one reads the rows a moment later.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterable
from functools import cache
from typing import Any

import redis
from django.conf import settings

logger = logging.getLogger(__name__)

# A Redis that hangs lets each caller wait to the end of its time.
_TIMEOUT_SECONDS = 2.0

_silent_until = float("-inf")


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


def publish(channel: str, hint: dict[str, Any]) -> None:
    """Give a hint to all who listen; one that is lost, is lost."""
    if is_silent():
        return
    try:
        client().publish(channel, json.dumps(hint))
    except redis.RedisError as error:
        note_silence(error)
        logger.debug("A hint was not published: %s", error)


def publish_all(channels: Iterable[str], hint: dict[str, Any]) -> None:
    """Give the same hint on many channels, in one round trip."""
    if is_silent():
        return
    said = json.dumps(hint)
    try:
        with client().pipeline(transaction=False) as pipeline:
            for channel in channels:
                pipeline.publish(channel, said)
            pipeline.execute()
    except redis.RedisError as error:
        note_silence(error)
        logger.debug("Hints were not published: %s", error)


def note_silence(error: redis.RedisError) -> None:
    """Remember for a moment that Redis let a caller wait in vain, if that is the error."""
    global _silent_until  # noqa: PLW0603  A process talks to one Redis.
    if isinstance(error, redis.TimeoutError):
        _silent_until = time.monotonic() + _TIMEOUT_SECONDS


def is_silent() -> bool:
    """Whether it did so a moment ago: what may be left undone then waits for it no second time."""
    return time.monotonic() < _silent_until
