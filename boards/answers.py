"""Who hears of answers that people give to questions: floors above say so at start-up."""

from __future__ import annotations

from collections.abc import Callable

from agents.activity import Actor
from agents.models import Message

Hear = Callable[[Message, Actor], None]

_hearers: list[Hear] = []


def told_to(hear: Hear) -> None:
    """Have it called with each question that is answered and by whom, in the transaction of that.

    The question's row is locked, and that of its board may be: what is locked then comes after.
    """
    if hear not in _hearers:
        _hearers.append(hear)


def tell(question: Message, by: Actor) -> None:
    """Tell everybody who wants to hear."""
    for hear in _hearers:
        hear(question, by)
