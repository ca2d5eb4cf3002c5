"""A bounded backlog keeps room for what must be known, and says when its reader is behind."""

from __future__ import annotations

import asyncio

from agents.watching.backlog import Backlog


def test_what_may_be_left_out_leaves_half_of_the_room() -> None:
    backlog: Backlog[int] = Backlog(4)
    assert [backlog.put_if_roomy(number) for number in range(4)] == [True, True, False, False]
    backlog.put(4)
    backlog.put(5)
    assert not backlog.is_behind
    assert asyncio.run(backlog.take(0)) == [0, 1, 4, 5]


def test_who_is_behind_is_offered_nothing_until_it_catches_up() -> None:
    backlog: Backlog[int] = Backlog(1)
    for number in range(3):
        backlog.put(number)
    assert backlog.is_behind
    assert asyncio.run(backlog.take(60)) == [0]
    backlog.put(3)
    assert not backlog.put_if_roomy(4)
    # Behind: there is nothing to wait for.
    assert asyncio.run(backlog.take(60)) == []
    backlog.catch_up()
    backlog.put(5)
    assert asyncio.run(backlog.take(60)) == [5]


def test_who_waits_is_woken_when_it_falls_behind() -> None:
    async def woken() -> list[int]:
        backlog: Backlog[int] = Backlog(1)
        waiting = asyncio.create_task(backlog.take(60))
        await asyncio.sleep(0.05)
        backlog.fall_behind()
        async with asyncio.timeout(10):
            return await waiting

    assert asyncio.run(woken()) == []
