"""Whether the process is up, and whether what it depends on answers: two plain async views."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, LiteralString

import psycopg
import redis.asyncio
from django.conf import settings
from django.db.migrations.loader import MigrationLoader
from django.http import HttpRequest, HttpResponse, JsonResponse

from agents.watching.loops import PerLoop
from executions import connections
from executions.queries import sign_expected_within

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 3.0
# Asked more often, it answers what it last found: nobody can make it open connections at will.
_REMEMBERED_SECONDS = 1.0

_APPLIED = "SELECT app, name FROM django_migrations"
# A worker outside, which polls, has no process that is ours.
_ALIVE = """
SELECT count(*) FROM executions_worker
WHERE seen_at > clock_timestamp() - %s AND NOT is_draining AND pid > 0
"""


class NotReady(Exception):
    """What is wrong, in words that anybody may read."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: `error` is empty when all is well."""

    milliseconds: float
    error: str = ""

    def as_json(self) -> dict[str, Any]:
        told = {"ok": not self.error, "ms": round(self.milliseconds, 1)}
        return told | ({"error": self.error} if self.error else {})


async def healthz(request: HttpRequest) -> HttpResponse:
    """200: the process answers. Touches nothing that it depends on."""
    return JsonResponse({"status": "ok"})


async def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database, Redis, migrations and a worker are there, each by name; else 503."""
    found = await _readiness().look()
    is_ready = not any(finding.error for finding in found.values())
    checks = {name: finding.as_json() for name, finding in found.items()}
    body = {"status": "ok" if is_ready else "unavailable", "checks": checks}
    return JsonResponse(body, status=200 if is_ready else 503)


class _Readiness:
    """The last findings of this process; callers side by side share one look."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._found: Mapping[str, Finding] = {}
        self._at = float("-inf")

    async def look(self) -> Mapping[str, Finding]:
        async with self._turn:
            if time.monotonic() - self._at > _REMEMBERED_SECONDS:
                self._found, self._at = await _look(), time.monotonic()
            return self._found


_readiness = PerLoop(_Readiness)


async def _look() -> Mapping[str, Finding]:
    checks = {
        "database": _database,
        "redis": _redis,
        "migrations": _migrations,
        "worker": _worker,
    }
    findings = await asyncio.gather(*(_found(name, check) for name, check in checks.items()))
    return dict(zip(checks, findings, strict=True))


async def _found(name: str, check: Callable[[], Awaitable[None]]) -> Finding:
    """Carry out one check within its time; what went wrong is logged, and told without detail."""
    start, error = time.perf_counter(), ""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await check()
    except NotReady as exc:
        error = str(exc)
    except TimeoutError:
        error = f"no answer within {PATIENCE_SECONDS:g} s"
    except Exception as exc:
        logger.warning("Not ready, %s: %s", name, exc)
        error = "no answer"
    return Finding((time.perf_counter() - start) * 1000, error)


async def _database() -> None:
    await _rows("SELECT 1")


async def _redis() -> None:
    client = redis.asyncio.Redis.from_url(
        settings.REDIS_URL, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS
    )
    async with client:
        await client.ping()


async def _migrations() -> None:
    applied = set(await _rows(_APPLIED))
    missing = sorted(await asyncio.to_thread(_on_disk) - applied)
    if missing:
        raise NotReady(f"{len(missing)} not applied")


async def _worker() -> None:
    ((alive,),) = await _rows(_ALIVE, [sign_expected_within()])
    if not alive:
        raise NotReady("no live worker")


@cache
def _on_disk() -> frozenset[tuple[str, str]]:
    """The migrations that this code needs: a process's code does not change."""
    return frozenset(MigrationLoader(None).disk_migrations or ())


async def _rows(query: LiteralString, parameters: list[Any] | None = None) -> list[Any]:
    """The rows of one query on a connection of its own: the pool may be what is exhausted."""
    async with await psycopg.AsyncConnection.connect(
        **connections.options(), autocommit=True, connect_timeout=int(PATIENCE_SECONDS)
    ) as connection:
        cursor = await connection.execute(query, parameters)
        return await cursor.fetchall()
