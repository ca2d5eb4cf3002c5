"""Listening for hints goes on whatever breaks, and ends when it is told to."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio.client import PubSub

from agents.redis import client
from agents.watching import hints


async def _ends_when_told(ears: hints._Ears) -> bool:
    """Whether the listener ends by one word; it is ended in any case."""
    listening = asyncio.create_task(ears._listen())
    await asyncio.sleep(0.2)
    listening.cancel()
    done, _ = await asyncio.wait([listening], timeout=2)
    is_over = bool(done)
    while not listening.done():
        listening.cancel()
        await asyncio.sleep(0.05)
    return is_over


def test_a_connection_that_breaks_at_the_end_does_not_keep_the_loop_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def breaks(subscription: object) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            raise ConnectionError("closed meanwhile") from None

    async def cancelled_in_the_middle() -> bool:
        ears = hints._Ears()
        monkeypatch.setattr(ears, "_subscribe", breaks)
        monkeypatch.setattr(ears, "_hear", breaks)
        return await _ends_when_told(ears)

    assert asyncio.run(cancelled_in_the_middle())


@pytest.mark.django_db
def test_a_subscription_that_breaks_is_made_anew_each_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hints, "AGAIN_SECONDS", 0.05)

    async def heard_through_breaks() -> list[hints.Hint | None]:
        news: asyncio.Queue[hints.Hint | None] = asyncio.Queue()
        with hints.heard("signalbox:test", news.put_nowait):
            heard = [await news.get()]
            for number in (1, 2):
                client().client_kill_filter(_type="pubsub")
                async with asyncio.timeout(10):
                    heard.append(await news.get())
                client().publish("signalbox:test", f'{{"number": {number}}}')
                async with asyncio.timeout(10):
                    heard.append(await news.get())
        return heard

    told = asyncio.run(heard_through_breaks())
    assert told == [None, None, {"number": 1}, None, {"number": 2}]


def test_a_word_to_end_that_is_lost_while_it_connects_is_heard_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connect = PubSub.connect

    async def connect_deaf(self: PubSub) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await connect(self)

    monkeypatch.setattr(PubSub, "connect", connect_deaf)

    async def ended() -> bool:
        return await _ends_when_told(hints._Ears())

    assert asyncio.run(ended())
