"""Who hears of a card that has come into review: floors above say so at start-up."""

from __future__ import annotations

from collections.abc import Callable

from boards.models import Task

Hear = Callable[[Task], None]

_hearers: list[Hear] = []


def told_to(hear: Hear) -> None:
    """Have it called with each card that has come into review, in the transaction of its move.

    That holds the board and the task.
    """
    if hear not in _hearers:
        _hearers.append(hear)


def tell(task: Task) -> None:
    """Tell everybody who wants to hear."""
    for hear in _hearers:
        hear(task)
