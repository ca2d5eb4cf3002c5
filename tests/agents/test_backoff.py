"""How long to wait after so many failures."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agents.backoff import wait_after

DAY = timedelta(hours=24)


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [(1, 5), (2, 15), (3, 45), (4, 135), (9, 32_805), (10, 86_400), (10_000, 86_400), (0, 5)],
)
def test_waits_grow_threefold_up_to_the_bound(failures: int, seconds: int) -> None:
    assert wait_after(failures, longest=DAY, chance=0.5) == timedelta(seconds=seconds)


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 36), (1.0, 54)])
def test_the_dice_move_it_by_a_fifth(chance: float, seconds: int) -> None:
    assert wait_after(3, longest=DAY, chance=chance) == timedelta(seconds=seconds)


def test_the_dice_are_thrown() -> None:
    waits = {wait_after(3, longest=DAY) for _ in range(20)}
    assert len(waits) > 1
    assert all(timedelta(seconds=36) <= wait <= timedelta(seconds=54) for wait in waits)
