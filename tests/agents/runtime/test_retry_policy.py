"""The retry rule as a table: what is tried again, after how long, and what is not."""

import pytest

from agents.runtime.retry import Cause, ComeBack, Failure, GiveUp, TryAgain, retry_policy


def failure(cause=Cause.STATUS, status=500, retry_after=None):
    return Failure(cause, "it failed", status=status, retry_after=retry_after)


def decide(failed, attempt=1, *, retries=3, chance=0.0):
    return retry_policy(failed, attempt, retries=retries, chance=chance)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_a_status_that_may_pass_is_tried_again(status):
    assert decide(failure(status=status)) == TryAgain(0.5)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422])
def test_a_status_that_blames_the_request_is_final(status):
    assert decide(failure(status=status)) == GiveUp()


@pytest.mark.parametrize("cause", [Cause.CONNECTION, Cause.CUT])
def test_a_lost_connection_and_a_cut_stream_are_tried_again(cause):
    assert decide(failure(cause, status=0)) == TryAgain(0.5)


@pytest.mark.parametrize("retry_after", [None, 1.0, 60.0])
def test_what_can_never_succeed_is_final_whatever_the_provider_asks(retry_after):
    assert decide(failure(Cause.REFUSED, 429, retry_after)) == GiveUp()


@pytest.mark.parametrize(
    ("attempt", "delay"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 4.0), (5, 8.0), (6, 10.0), (20, 10.0)]
)
def test_the_wait_doubles_up_to_ten_seconds(attempt, delay):
    assert decide(failure(), attempt, retries=20) == TryAgain(delay)


def test_the_jitter_shortens_the_wait_by_up_to_half():
    assert decide(failure(), 2, chance=0.5) == TryAgain(0.75)
    assert decide(failure(), 2, chance=1.0) == TryAgain(0.5)


@pytest.mark.parametrize(
    ("asked", "chance", "delay"),
    [(1.0, 0.0, 1.0), (1.0, 1.0, 1.1), (10.0, 0.0, 10.0), (0.0, 0.0, 0.5)],
)
def test_the_wait_is_never_shorter_than_the_provider_asks(asked, chance, delay):
    assert decide(failure(status=429, retry_after=asked), chance=chance) == TryAgain(delay)


@pytest.mark.parametrize("attempt", [1, 4, 9])
def test_a_long_retry_after_suspends_at_any_attempt(attempt):
    assert decide(failure(status=503, retry_after=10.5), attempt) == ComeBack(10.5)


@pytest.mark.parametrize(("retries", "last"), [(0, 1), (1, 2), (3, 4)])
def test_the_tries_after_the_first_are_counted(retries, last):
    assert decide(failure(), last, retries=retries) == GiveUp()
    if retries:
        assert isinstance(decide(failure(), last - 1, retries=retries), TryAgain)
