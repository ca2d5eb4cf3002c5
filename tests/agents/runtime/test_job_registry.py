"""Jobs are registered once by name, on terms that can be kept, and their values are JSON."""

from __future__ import annotations

from typing import Any

import pytest

from agents.runtime import jobs
from agents.runtime.job_retries import (
    LONGEST_BACKOFF,
    Failure,
    delay_before_next,
    failure_of,
)
from agents.runtime.jobs import DuplicateJob, JobUnknown, Permanent, RetryAfter, Terms, job
from agents.runtime.json_values import LARGEST, NotStorable, storable


@pytest.fixture(autouse=True)
def _registry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_kinds", {})


def test_a_job_is_found_by_its_name_with_its_terms() -> None:
    @job("add", max_retries=0, timeout=7, worker_queue="heavy")
    def add(value: int) -> int:
        return value + 1

    kind = jobs.find("add")
    assert (kind.call(1, None), kind.terms) == (2, Terms(0, 7, "heavy"))  # type: ignore[arg-type]
    assert add(2) == 3
    assert [known.name for known in jobs.registered()] == ["add"]


def test_a_second_function_of_one_name_is_refused_at_start_up() -> None:
    @job("one")
    def first(value: Any) -> None: ...

    with pytest.raises(DuplicateJob, match="one"):

        @job("one")
        def second(value: Any) -> None: ...

    # A module that is loaded twice is no second function.
    assert job("one")(first) is first


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(JobUnknown, match="nobody"):
        jobs.find("nobody")


async def _coroutine(value: Any) -> None: ...


@pytest.mark.parametrize("function", [_coroutine, lambda: 1, lambda a, b, c: 1, lambda *, a: 1])
def test_what_is_no_function_of_input_and_job_is_refused(function: Any) -> None:
    with pytest.raises(TypeError, match="A job is"):
        job("bad")(function)


@pytest.mark.parametrize(
    "terms",
    [
        {"max_retries": -1},
        {"max_retries": True},
        {"timeout": 0},
        {"timeout": 1.5},
        {"worker_queue": ""},
        {"worker_queue": "a b"},
        {"patience": 3},
    ],
)
def test_terms_that_cannot_be_are_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(terms))):
        job("bad", **terms)


@pytest.mark.parametrize("name", ["", "  ", "a\0", "x" * 81])
def test_a_name_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        job(name)


@pytest.mark.parametrize(
    ("failure", "tries", "chance", "delay"),
    [
        (Failure("E", "", is_permanent=True), 1, 0, None),
        (Failure("E", ""), 4, 0, None),
        (Failure("E", ""), 1, 0, 2.0),
        (Failure("E", ""), 1, 0.999, 2.0 * (1 - 0.4995)),
        (Failure("E", ""), 3, 0, 8.0),
        (Failure("E", "", retry_after=60.0), 1, 0, 60.0),
        (Failure("E", "", retry_after=60.0), 1, 0.5, 63.0),
        (Failure("E", "", retry_after=60.0), 4, 0, None),
    ],
)
def test_the_rule_of_retries(
    failure: Failure, tries: int, chance: float, delay: float | None
) -> None:
    assert delay_before_next(failure, tries, max_retries=3, chance=chance) == (
        delay if delay is None else pytest.approx(delay)
    )


def test_the_backoff_has_an_upper_end() -> None:
    assert delay_before_next(Failure("E", ""), 99, max_retries=100, chance=0) == LONGEST_BACKOFF


def test_what_exceptions_of_a_job_mean() -> None:
    assert failure_of(ValueError("no\0")) == Failure("JOB_ERROR", "ValueError: no\ufffd")
    gone = failure_of(Permanent("gone", code="GONE"))
    assert (gone.code, gone.message, gone.is_permanent) == ("GONE", "gone", True)
    assert failure_of(RetryAfter(30)).retry_after == 30.0
    for seconds in (-1, float("nan"), float("inf"), 1e9):
        with pytest.raises(ValueError, match="delay"):
            RetryAfter(seconds)
    with pytest.raises(ValueError, match="code"):
        Permanent(code="not a code")


@pytest.mark.parametrize(
    "value",
    ["a\0b", {"\0": 1}, ["\ud800"], float("nan"), object(), b"x", {(1, 2): 3}, "x" * LARGEST],
)
def test_what_cannot_be_kept_is_refused(value: Any) -> None:
    with pytest.raises(NotStorable):
        storable(value)


def test_what_can_be_kept_is_as_it_will_be_read() -> None:
    value = {"a": (1, 2), 3: "\\u0000", "b": "\\\\u0000", "c": "ä\u2028😀", "d": None}
    kept = storable(value)
    assert kept == {"a": [1, 2], "3": "\\u0000", "b": "\\\\u0000", "c": "ä\u2028😀", "d": None}


def test_a_circle_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(NotStorable):
        storable(circle)
