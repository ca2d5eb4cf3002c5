"""How long to wait before what has failed is tried again."""

from __future__ import annotations

import random
from datetime import timedelta

FIRST = timedelta(seconds=5)
FACTOR = 3
# Of the wait, in both directions: what failed together does not come back together.
JITTER = 0.2


def wait_after(failures: int, *, longest: timedelta, chance: float | None = None) -> timedelta:
    """The wait after so many failures in a row: 5 s, 15 s, 45 s and so on, give or take a fifth.

    `longest` is the bound before the jitter; `chance`, from 0 to 1, stands for the dice.
    """
    # Beyond 20 steps every bound is reached, and the power would only grow.
    steps: int = FACTOR ** min(max(failures, 1) - 1, 20)
    # No secret depends on it.
    drawn = random.random() if chance is None else chance  # noqa: S311
    return min(FIRST * steps, longest) * (1 - JITTER + 2 * JITTER * drawn)
