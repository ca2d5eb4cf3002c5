"""Counts how often something happens, in Redis: one script, one round trip, Redis's clock.

A count is a hash with a field for each sixtieth of its period (slot), which holds how often it
happened in that slot. What happened counts until the slot has wholly left the period, so that no
period ever has more than the limit; a hash has 61 fields at most, and expires by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import redis
from django.conf import settings
from redis.backoff import NoBackoff
from redis.commands.core import Script
from redis.retry import Retry

from agents.rest.breaker import Breaker

_SLOTS = 60
_NO_LIMIT = 2**53 - 1
_PREFIX = "{signalbox}:rate:"
# Redis answers in less than a millisecond; a request must not wait long to learn that it is away.
_TIMEOUT_SECONDS = 0.5
_AGAIN_AFTER_SECONDS = 5.0
_MEANWHILE = (
    "requests are let in uncounted, and each process counts failed authentications for itself."
)

# KEYS: the count. ARGV: the rule, the limit, the length of a slot in milliseconds.
# Answers {milliseconds until it has room, the slot that was counted in}.
_COUNT = (
    f"local SLOTS = {_SLOTS}\n"
    + """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function until_there_is_room(key, limit, length)
  local first = math.floor(now / length) - SLOTS
  local pairs_of = redis.call('HGETALL', key)
  local slots, sum = {}, 0
  for i = 1, #pairs_of, 2 do
    local slot, count = tonumber(pairs_of[i]), tonumber(pairs_of[i + 1])
    if slot < first then
      redis.call('HDEL', key, pairs_of[i])
    else
      table.insert(slots, {slot, count})
      sum = sum + count
    end
  end
  if sum < limit then return 0 end
  table.sort(slots, function(a, b) return a[1] < b[1] end)
  for _, slot in ipairs(slots) do
    sum = sum - slot[2]
    if sum < limit then return (slot[1] + SLOTS + 1) * length - now end
  end
end

local rule, limit, length = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local slot = math.floor(now / length)
local wait = until_there_is_room(KEYS[1], limit, length)
if wait == 0 or rule == 'always' then
  redis.call('HINCRBY', KEYS[1], slot, 1)
  redis.call('PEXPIRE', KEYS[1], (SLOTS + 1) * length)
  if wait > 0 then wait = until_there_is_room(KEYS[1], limit, length) end
end
return {wait, slot}
"""
)

# A count that has expired meanwhile is not begun again, since nothing would end it.
_GIVE_BACK = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 1 then
  redis.call('HINCRBY', KEYS[1], ARGV[1], -1)
end
"""


class RatesAway(Exception):
    """Redis is out of reach: nothing is known of how often anything happened."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in each period of so many seconds. A limit of 0 means that there is none."""

    name: str
    limit: int
    seconds: int = 60

    @property
    def slot_milliseconds(self) -> int:
        return self.seconds * 1000 // _SLOTS

    def key(self, whose: str) -> str:
        """Where Redis has the count of one caller or address."""
        return f"{_PREFIX}{self.name}:{whose}"


@dataclass(frozen=True, slots=True)
class Count:
    """The count of a rate for one caller or address; it ends with its period."""

    rate: Rate
    whose: str

    @property
    def key(self) -> str:
        return self.rate.key(self.whose)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a count: seconds until there is room, rounded up; 0 where there was.

    `slot` is for `give_back`.
    """

    wait: int
    slot: int


def take(count: Count) -> Verdict:
    """Count one where there is room; what is refused is not counted. Raises RatesAway."""
    return _ask("room", count)


def note(count: Count) -> Verdict:
    """Count one, and say whether there was room for it. Raises RatesAway."""
    return _ask("always", count)


def give_back(count: Count, slot: int) -> None:
    """Take back what was counted in that slot. Raises RatesAway."""
    _through(lambda door: door.give_back(keys=[count.key], args=[slot]))


def forget(count: Count) -> None:
    """Have it begin anew. Raises RatesAway."""
    _through(lambda door: door.client.unlink(count.key))


def _ask(rule: str, count: Count) -> Verdict:
    args: list[str | int] = [rule, count.rate.limit or _NO_LIMIT, count.rate.slot_milliseconds]
    answer = _through(lambda door: door.count(keys=[count.key], args=args))
    milliseconds, slot = cast("list[int]", answer)
    return Verdict(-(-milliseconds // 1000), slot)


def _through(ask: Callable[[_Door], Any]) -> Any:
    """What Redis answers. Raises RatesAway, at once where it was away a moment ago."""
    if not settings.REDIS_URL:
        raise RatesAway
    door = _door(settings.REDIS_URL)
    if not door.breaker.lets_try():
        raise RatesAway
    try:
        answer = ask(door)
    except redis.RedisError as error:
        door.breaker.note_failure(error)
        raise RatesAway from error
    door.breaker.note_answer()
    return answer


@dataclass(frozen=True, slots=True)
class _Door:
    """The way to one Redis. It tries nothing twice, as a second try would count twice."""

    client: redis.Redis
    count: Script
    give_back: Script
    breaker: Breaker


@cache
def _door(url: str) -> _Door:
    client = redis.Redis.from_url(
        url,
        socket_timeout=_TIMEOUT_SECONDS,
        socket_connect_timeout=_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )
    return _Door(
        client=client,
        count=client.register_script(_COUNT),
        give_back=client.register_script(_GIVE_BACK),
        breaker=Breaker("Redis", meanwhile=_MEANWHILE, seconds=_AGAIN_AFTER_SECONDS),
    )
