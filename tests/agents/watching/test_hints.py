"""Listening for hints ends when it is told to, whatever happens at that moment."""

from __future__ import annotations

import asyncio

import pytest

from agents.watching import hints


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
        listening = asyncio.create_task(ears._listen())
        await asyncio.sleep(0.2)
        listening.cancel()
        done, _ = await asyncio.wait([listening], timeout=2)
        is_over = bool(done)
        while not listening.done():
            listening.cancel()
            await asyncio.sleep(0.05)
        return is_over

    assert asyncio.run(cancelled_in_the_middle())
