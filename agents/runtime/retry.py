"""The rule that decides whether a failed model call is tried again, and when."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import assert_never

LONGEST_WAIT_IN_PLACE = 10.0
_FIRST_BACKOFF = 0.5
_RETRYABLE_STATUSES = frozenset({408, 409, 429})


class Cause(StrEnum):
    """What went wrong with one call, as far as the rule cares."""

    STATUS = "status"
    CONNECTION = "connection"
    CUT = "cut"
    REFUSED = "refused"
    TOO_LONG = "too_long"


@dataclass(frozen=True, slots=True)
class Failure:
    """One failed call. `status` is the HTTP status when the provider answered with one.

    CUT means a stream that ended early or could not be read; REFUSED, that the same request can
    never succeed (no quota, a request that cannot be built); TOO_LONG, that it is longer than the
    model's window. `retry_after` is what the provider
    asked for, in seconds.
    """

    cause: Cause
    message: str
    status: int = 0
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Ask again after `delay` seconds."""

    delay: float


@dataclass(frozen=True, slots=True)
class ComeBack:
    """Suspend: the provider wants `retry_after` seconds, more than is waited in place."""

    retry_after: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Fail with the failure's message."""


Decision = TryAgain | ComeBack | GiveUp


def retry_policy(failure: Failure, attempt: int, *, retries: int, chance: float) -> Decision:
    """Decide after the `attempt`-th try (from 1) failed, with `retries` tries after the first.

    `chance` in [0, 1) is the jitter's die. Without `Retry-After` the wait doubles from half a
    second, jittered downwards by up to half, up to ten seconds. With it the wait is never shorter
    than asked for, and up to a tenth longer, so that callers turned away together do not return
    together. A wait of more than ten seconds is a ComeBack, which uses up no try.
    """
    if not _is_retryable(failure):
        return GiveUp()
    asked = failure.retry_after
    if asked is not None and asked > LONGEST_WAIT_IN_PLACE:
        return ComeBack(asked)
    if attempt > retries:
        return GiveUp()
    backoff = min(LONGEST_WAIT_IN_PLACE, _FIRST_BACKOFF * 2 ** (attempt - 1)) * (1 - chance / 2)
    return TryAgain(backoff if asked is None else max(backoff, asked * (1 + chance / 10)))


def _is_retryable(failure: Failure) -> bool:
    match failure.cause:
        case Cause.CONNECTION | Cause.CUT:
            return True
        case Cause.STATUS:
            return failure.status in _RETRYABLE_STATUSES or failure.status >= 500
        case Cause.REFUSED | Cause.TOO_LONG:
            return False
    assert_never(failure.cause)
