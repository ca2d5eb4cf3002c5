"""The rule that decides whether a failed try of a job is followed by another, and when."""

from __future__ import annotations

from dataclasses import dataclass

from agents.runtime.jobs import Permanent, RetryAfter
from agents.runtime.tools.text import clip

FIRST_BACKOFF = 2.0
LONGEST_BACKOFF = 600.0
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class Failure:
    """How a try failed. `retry_after` is the delay that it asked for, in seconds."""

    code: str
    message: str
    is_permanent: bool = False
    retry_after: float | None = None


def failure_of(error: BaseException) -> Failure:
    """What an exception of a job's function means."""
    if isinstance(error, Permanent):
        return Failure(error.code, _words(str(error)), is_permanent=True)
    if isinstance(error, RetryAfter):
        return Failure("JOB_ERROR", _words(str(error)), retry_after=error.seconds)
    return Failure("JOB_ERROR", _words(f"{type(error).__name__}: {error}"))


def timed_out(seconds: int) -> Failure:
    """What a try is called that did not end in its time."""
    return Failure("TIMED_OUT", f"It did not end within {seconds} s.")


def delay_before_next(
    failure: Failure, tries: int, *, max_retries: int, chance: float
) -> float | None:
    """Seconds until the next try after the `tries`-th (from 1) failed; None if there is none.

    `chance` in [0, 1) is the jitter's die. The delay doubles from two seconds, jittered downwards
    by up to half, up to ten minutes; one that was asked for is kept, and up to a tenth longer.
    """
    if failure.is_permanent or tries > max_retries:
        return None
    if failure.retry_after is not None:
        return failure.retry_after * (1 + chance / 10)
    doubled = FIRST_BACKOFF * 2.0 ** min(tries - 1, 30)
    return min(LONGEST_BACKOFF, doubled) * (1 - chance / 2)


def _words(text: str) -> str:
    return clip(text, _LONGEST_MESSAGE)[0]
