"""Jobs: plain functions that work in the background for an execution, by their registered names.

A job may be tried more than once: after a failure, a timeout, or the loss of its worker, which may
come after its work and before its end is kept. What it does to the world should therefore be safe
to do twice; `job.id` is the same in every try.
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar
from uuid import UUID

LONGEST_NAME = 80
LONGEST_QUEUE = 60
MOST_RETRIES = 100
LONGEST_TIMEOUT = 7 * 24 * 3600
LONGEST_DELAY = 30 * 24 * 3600.0

_CODE = re.compile(r"[A-Z][A-Z0-9_]{0,59}")


class DuplicateJob(Exception):
    """Two functions were registered under one name."""


class JobUnknown(ValueError):
    """No function is registered under this name."""


class Permanent(Exception):
    """The job cannot succeed, and is not tried again. `code` is what its failure is called."""

    def __init__(self, message: str = "", *, code: str = "JOB_ERROR") -> None:
        if not _CODE.fullmatch(code):
            raise ValueError(f"{code!r} is no code: capitals, digits and underscores.")
        super().__init__(message)
        self.code = code


class RetryAfter(Exception):
    """The job is to be tried again after so many seconds; it uses up a retry like any failure."""

    def __init__(self, seconds: float, message: str = "") -> None:
        if not (math.isfinite(seconds) and 0 <= seconds <= LONGEST_DELAY):
            raise ValueError(f"A delay is 0 to {LONGEST_DELAY:.0f} seconds, not {seconds}.")
        super().__init__(message or f"It asked to be tried again after {seconds:g} s.")
        self.seconds = float(seconds)


class JobCancelled(BaseException):
    """The job is to stop; raised by `check_cancelled`.

    No Exception, so that code which catches whatever goes wrong lets it pass.
    """


class CurrentJob(Protocol):
    """What a job's function may ask about the try that it is."""

    @property
    def id(self) -> UUID: ...

    @property
    def key(self) -> str: ...

    @property
    def execution_id(self) -> UUID: ...

    @property
    def attempt(self) -> int:
        """Counts tries from 1."""

    def is_cancelled(self) -> bool:
        """Whether nobody waits for this try any more: cancelled, timed out, or its worker stops."""

    def check_cancelled(self) -> None:
        """Raise JobCancelled if so."""

    def progress(self, text: str) -> None:
        """Tell whoever watches the execution how far it is; nothing of it is kept."""


@dataclass(frozen=True, slots=True)
class Terms:
    """How a job is tried: once and `max_retries` times more, each for `timeout` seconds at most.

    `worker_queue` is the Celery queue whose workers take it.
    """

    max_retries: int = 3
    timeout: int = 300
    worker_queue: str = "jobs"

    def __post_init__(self) -> None:
        if not _is_whole(self.max_retries, 0, MOST_RETRIES):
            raise ValueError(f"max_retries is a whole number from 0 to {MOST_RETRIES}.")
        if not _is_whole(self.timeout, 1, LONGEST_TIMEOUT):
            raise ValueError(f"timeout is a whole number of seconds from 1 to {LONGEST_TIMEOUT}.")
        if not re.fullmatch(rf"[\w.-]{{1,{LONGEST_QUEUE}}}", str(self.worker_queue), re.ASCII):
            raise ValueError("worker_queue is the name of a queue.")

    def but(self, **changes: Any) -> Terms:
        """The same terms but for these. Raises ValueError for what is no term, or no value of one.

        A term of None is left as it is.
        """
        try:
            return replace(self, **{k: v for k, v in changes.items() if v is not None})
        except TypeError as error:
            raise ValueError(f"A job takes {', '.join(self.__slots__)}: {error}") from error


@dataclass(frozen=True, slots=True)
class JobKind:
    """A registered function and the terms on which it is tried."""

    name: str
    function: Callable[..., Any]
    terms: Terms
    takes_job: bool

    def call(self, value: Any, job: CurrentJob) -> Any:
        """Call the function with an input; what it returns is the job's output."""
        return self.function(value, job) if self.takes_job else self.function(value)


Work = TypeVar("Work", bound=Callable[..., Any])


def job(name: str, **terms: Any) -> Callable[[Work], Work]:
    """Register a function of `(input)` or `(input, job)` as the job of this name.

    `terms` are those of `Terms`, which a caller may change for one job. Raises at start-up:
    DuplicateJob where another function has the name, ValueError for a name or term that cannot
    be, TypeError for what is no plain function of one or two parameters.
    """
    if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        raise ValueError(f"The name of a job has 1 to {LONGEST_NAME} printable characters.")
    agreed = Terms().but(**terms)

    def register(function: Work) -> Work:
        kind = JobKind(name, function, agreed, takes_job=_takes_job(function))
        other = _kinds.get(name)
        if other is not None and _place_of(other.function) != _place_of(function):
            raise DuplicateJob(f"There are two jobs {name!r}.")
        _kinds[name] = kind
        return function

    return register


def find(name: str) -> JobKind:
    """The job of this name. Raises JobUnknown."""
    try:
        return _kinds[name]
    except KeyError:
        raise JobUnknown(f"No job is registered as {name!r}.") from None


def registered() -> list[JobKind]:
    """Every job that this process can carry out, in the order of registration."""
    return list(_kinds.values())


_kinds: dict[str, JobKind] = {}


def _takes_job(function: Callable[..., Any]) -> bool:
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise TypeError("A job is a plain function: neither a coroutine nor a generator.")
    parameters = list(inspect.signature(function).parameters.values())
    required = [p for p in parameters if p.default is p.empty]
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if not positional or len(required) > 2 or len(positional) > 2:
        raise TypeError("A job is a function of its input, or of its input and the job.")
    return len(positional) == 2


def _place_of(function: Callable[..., Any]) -> tuple[str, str]:
    """Where a function is written: a module that is loaded twice registers the same job again."""
    return function.__module__, function.__qualname__


def _is_whole(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most
