"""Who hears of messages that agents were told: floors above say so at start-up."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.db import transaction

from agents.models import Message

Hear = Callable[[Message], None]

_hearers: list[Hear] = []


def told_to(hear: Hear) -> None:
    """Have it called with each message that an agent was told, after the commit.

    A process may die before it is: what it does has to be found to be undone, or to be no loss.
    """
    if hear not in _hearers:
        _hearers.append(hear)


def tell_on_commit(message: Message) -> None:
    """Tell everybody who wants to hear, once the message is there for good."""
    for hear in _hearers:
        transaction.on_commit(partial(hear, message), robust=True)
