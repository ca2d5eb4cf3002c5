"""Rates as Redis has them: moved into the past, and a Redis that is away."""

from __future__ import annotations

import pytest
import redis

from agents.redis import client
from agents.rest import local_rates, rates

# Nothing listens on port 1.
NOWHERE = "redis://127.0.0.1:1/0"


def age(seconds: int) -> None:
    """Let so many seconds have passed for each count of a minute."""
    for key in _keys():
        slots: dict[str, str] = client().hgetall(key)  # type: ignore[assignment]
        client().delete(key)
        for slot, count in slots.items():
            client().hset(key, str(int(slot) - seconds), count)


def counted(part: str) -> int:
    """How often what has this in its name was counted."""
    keys = [key for key in _keys() if part in key]
    return sum(int(count) for key in keys for count in client().hvals(key))


def _keys() -> list[str]:
    return list(client().scan_iter("{signalbox}:rate:*"))


def take_redis_away(settings: object, url: str = NOWHERE) -> None:
    """Have rates counted where no Redis is; each use of it begins anew."""
    settings.REDIS_URL = url  # type: ignore[attr-defined]
    rates._door.cache_clear()
    local_rates.forget_all()


class Trips:
    """Counts the commands that go to Redis over the connections of the rates."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commands: list[str] = []
        plain = redis.Connection.send_packed_command

        def counting(connection: redis.Connection, command: object, **more: object) -> None:
            self.commands.append(repr(command))
            plain(connection, command, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(redis.Connection, "send_packed_command", counting)
        monkeypatch.setattr(redis.UnixDomainSocketConnection, "send_packed_command", counting)
