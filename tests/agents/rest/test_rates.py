"""A rate lets exactly its limit in, and says truly when there is room again."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from agents.redis import client
from agents.rest import rates
from agents.rest.rates import Count, Rate
from tests.agents.rest.rate_rows import NOWHERE, Trips, age, take_redis_away

pytestmark = pytest.mark.django_db


def one(limit: int = 3, whose: str = "one") -> Count:
    return Count(Rate("tested", limit), whose)


def lets_in(count: Count) -> bool:
    return rates.take(count).wait == 0


def test_of_many_at_once_exactly_the_limit_gets_in() -> None:
    count = Count(Rate("slow", 40, seconds=36_000), "crowd")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: lets_in(count), range(200)))

    assert answers.count(True) == 40


def test_what_is_refused_is_not_counted() -> None:
    assert [lets_in(one()) for _ in range(3)] == [True] * 3
    age(40)
    assert [lets_in(one()) for _ in range(10)] == [False] * 10
    age(21)
    assert [lets_in(one()) for _ in range(4)] == [True] * 3 + [False]


def test_who_waits_as_long_as_told_is_let_in_and_not_before() -> None:
    for _ in range(3):
        assert lets_in(one())
    wait = rates.take(one()).wait

    assert 50 <= wait <= 61
    age(wait - 10)
    assert not lets_in(one())
    age(10)
    assert lets_in(one())


def test_room_comes_back_as_what_was_counted_leaves_the_minute() -> None:
    assert lets_in(one())
    age(40)
    assert lets_in(one())
    assert lets_in(one())

    refused = rates.take(one())
    assert 10 <= refused.wait <= 21
    age(refused.wait)
    assert [lets_in(one()), lets_in(one())] == [True, False]


def test_what_happened_counts_until_its_slot_has_wholly_left() -> None:
    assert [lets_in_after(60), lets_in_after(61)] == [False, True]


def lets_in_after(slots: int) -> bool:
    """Whether there is room so many slots after a full one, to the slot."""
    while True:
        now = current_slot()
        client().delete(one().key)
        client().hset(one().key, str(now - slots), 3)
        answer = lets_in(one())
        if current_slot() == now:
            return answer


def current_slot() -> int:
    return int(client().time()[0])  # type: ignore[index]  # Of the client that does not wait.


def test_callers_and_rates_have_counts_of_their_own() -> None:
    assert [lets_in(one(1, "a")), lets_in(one(1, "b"))] == [True, True]
    assert [lets_in(one(1, "a")), lets_in(one(1, "b"))] == [False, False]
    assert lets_in(Count(Rate("another", 1), "a"))


def test_a_count_expires_once_it_is_of_no_use() -> None:
    rates.take(one())

    assert 60_000 < client().pttl(one().key) <= 61_000


def test_a_count_holds_no_more_slots_than_a_period_has() -> None:
    for _ in range(80):
        rates.take(one(1000))
        age(1)

    assert 40 <= client().hlen(one().key) <= 61


def test_a_note_counts_what_has_no_room_too() -> None:
    assert [rates.note(one()).wait == 0 for _ in range(5)] == [True] * 3 + [False] * 2
    age(20)
    wait = rates.note(one()).wait

    assert 30 <= wait <= 41
    age(wait)
    assert rates.note(one()).wait == 0


def test_the_wait_of_a_note_includes_what_it_counted() -> None:
    rates.note(one(1))
    age(30)

    assert rates.note(one(1)).wait > 50


def test_what_is_given_back_can_be_taken_again() -> None:
    slots = [rates.take(one()).slot for _ in range(3)]
    rates.give_back(one(), slots[0])

    assert [lets_in(one()), lets_in(one())] == [True, False]


def test_giving_back_begins_no_count_that_would_never_end() -> None:
    slot = rates.take(one()).slot
    rates.forget(one())
    rates.give_back(one(), slot)

    assert not client().exists(one().key)


def test_a_limit_of_none_is_never_full() -> None:
    assert all(lets_in(one(0)) for _ in range(50))


@examples(deadline=None, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from("at"), st.integers(1, 40)), max_size=25))
def test_no_minute_has_more_than_its_limit(steps: list[tuple[str, int]]) -> None:
    client().flushdb()
    aged, let_in = 0, []
    for what, number in steps:
        if what == "a":
            age(number)
            aged += number
            continue
        for _ in range(number % 8):
            before = aged + time.monotonic()
            if lets_in(one()):
                let_in.append(before)
                now = aged + time.monotonic()
                assert len([moment for moment in let_in if now - moment < 60]) <= 3


def test_a_count_is_one_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    rates.take(one())
    trips = Trips(monkeypatch)
    rates.take(one())

    assert len(trips.commands) == 1
    assert "EVALSHA" in trips.commands[0]


def test_a_flushed_redis_counts_on() -> None:
    rates.take(one())
    client().script_flush()
    client().flushdb()

    assert lets_in(one())


@pytest.mark.parametrize("url", [NOWHERE, ""])
def test_without_redis_nothing_is_known(settings: Any, url: str) -> None:
    take_redis_away(settings, url)

    with pytest.raises(rates.RatesAway):
        rates.take(one())


def test_a_refusal_by_redis_is_as_good_as_its_absence() -> None:
    client().set(one().key, "no hash")

    with pytest.raises(rates.RatesAway):
        rates.take(one())
    rates._door.cache_clear()
