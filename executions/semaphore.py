"""Permits in Redis: at most so many executions of an organization, board or agent at once.

One set per scope, all under one hash tag. A member is `<execution id>:<epoch>` and never expires:
a permit is taken from a lost run by moving its epoch on in PostgreSQL first and removing the
member second, so the members are always a superset of what runs, and no clock decides.

A generation key holds the `run_id` of the Redis that the sets belong to. After a flush, a restart
or a failover it is missing or differs; every acquire then answers `LOST` until `rebuild`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import cast

from redis.commands.core import Script

from agents.redis import client

_TAG = "{signalbox}"
GENERATION = f"{_TAG}:generation"
_PREFIX = f"{_TAG}:permits:"
_PATTERN = f"{_PREFIX}*"

# Redis's `INFO` can be read inside Lua, so that the check and the acquire are one step.
_SAME_REDIS = """
local function same_redis(generation)
  local run_id = string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')
  return redis.call('GET', generation) == run_id
end
"""

# All the requests of a call are decided in one step: a permit given back in between cannot go to
# a later request of the queue while an earlier one was refused.
_ACQUIRE = (
    _SAME_REDIS
    + """
if not same_redis(KEYS[1]) then return {'lost'} end
local function try(request)
  local missing = {}
  for _, scope in ipairs(request.scopes) do
    if redis.call('SISMEMBER', scope.key, request.member) == 0 then
      if scope.limit ~= cjson.null and redis.call('SCARD', scope.key) >= scope.limit then
        return 'blocked:' .. scope.name
      end
      table.insert(missing, scope.key)
    end
  end
  if #missing == 0 then return 'held' end
  for _, key in ipairs(missing) do redis.call('SADD', key, request.member) end
  return 'acquired'
end
local answers = {}
for _, request in ipairs(cjson.decode(ARGV[1])) do table.insert(answers, try(request)) end
return answers
"""
)

_REBUILD = """
for _, key in ipairs(redis.call('KEYS', ARGV[1])) do redis.call('DEL', key) end
for _, holder in ipairs(cjson.decode(ARGV[2])) do
  for _, key in ipairs(holder.keys) do redis.call('SADD', key, holder.member) end
end
redis.call('SET', KEYS[1], string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'))
return 1
"""


class Answer(StrEnum):
    """What an acquire was told; `BLOCKED` comes with the name of the scope."""

    ACQUIRED = "acquired"
    HELD = "held"
    BLOCKED = "blocked"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Scope:
    """One limit: `name` is organization, board or agent; a `limit` of None means none."""

    name: str
    id: str
    limit: int | None = None

    @property
    def key(self) -> str:
        return f"{_PREFIX}{self.name}:{self.id}"


@dataclass(frozen=True, slots=True)
class Request:
    """A wish for a permit on all of these scopes."""

    member: str
    scopes: tuple[Scope, ...]


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer to one request; `scope` names what blocks it."""

    answer: Answer
    scope: str = ""

    @property
    def is_granted(self) -> bool:
        return self.answer in (Answer.ACQUIRED, Answer.HELD)


class PermitsLost(Exception):
    """The sets are not those of this Redis: rebuild them before anything is admitted."""


@cache
def _script(source: str) -> Script:
    return client().register_script(source)


def acquire(requests: Sequence[Request]) -> list[Decision]:
    """Decide every request in the order given, each on all of its scopes or on none.

    Raises `PermitsLost` after a flush, restart or failover, and redis-py's errors when Redis is
    out of reach; nothing was acquired then.
    """
    if not requests:
        return []
    wishes = [
        {
            "member": request.member,
            "scopes": [{"name": s.name, "key": s.key, "limit": s.limit} for s in request.scopes],
        }
        for request in requests
    ]
    answers = cast("list[str]", _script(_ACQUIRE)(keys=[GENERATION], args=[json.dumps(wishes)]))
    if answers == [Answer.LOST]:
        raise PermitsLost
    return [_decision(answer) for answer in answers]


def _decision(answer: str) -> Decision:
    word, _, scope = answer.partition(":")
    return Decision(Answer(word), scope)


def release(member: str, scopes: Iterable[Scope]) -> None:
    """Give a permit back by its exact name; giving back what is not held changes nothing."""
    with client().pipeline(transaction=True) as pipe:
        for scope in scopes:
            pipe.srem(scope.key, member)
        pipe.execute()


def rebuild(holders: Mapping[str, Sequence[Scope]]) -> None:
    """Replace every set by what `holders` says (member → its scopes), and own this Redis.

    The caller holds the exclusive lock, so that nothing is admitted meanwhile.
    """
    rows = [{"member": m, "keys": [s.key for s in scopes]} for m, scopes in holders.items()]
    _script(_REBUILD)(keys=[GENERATION], args=[_PATTERN, json.dumps(rows)])


def members(scope: Scope) -> set[str]:
    """Who holds a permit of this scope now."""
    return cast("set[str]", client().smembers(scope.key))
