"""A count of failed authentications by address, in Redis; without Redis nobody is refused."""

from functools import cache

import redis
from django.conf import settings
from django.http import HttpRequest
from redis.backoff import NoBackoff
from redis.retry import Retry

FAILURES_A_MINUTE = 20
_WINDOW_SECONDS = 60


@cache
def _client() -> redis.Redis:
    # An answer to a failed authentication must not wait for a Redis that is away.
    return redis.Redis.from_url(
        settings.REDIS_URL,
        socket_timeout=1,
        socket_connect_timeout=0.5,
        retry=Retry(NoBackoff(), 0),
        decode_responses=True,
    )


def count_failure(request: HttpRequest) -> int | None:
    """Count one failure; the seconds to wait if its address has had too many, else None."""
    if not settings.REDIS_URL:
        return None
    name = f"signalbox:auth-failures:{request.META.get('REMOTE_ADDR') or 'unknown'}"
    try:
        # The window begins with its first failure; in one transaction, so that no count is left
        # without an end.
        with _client().pipeline() as pipeline:
            pipeline.set(name, 0, ex=_WINDOW_SECONDS, nx=True)
            pipeline.incr(name)
            pipeline.ttl(name)
            _, failures, seconds = pipeline.execute()
    except redis.RedisError:
        return None
    return max(int(seconds), 1) if failures > FAILURES_A_MINUTE else None
