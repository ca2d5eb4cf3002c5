"""Who puts things in order before an agent is deleted: floors above say so at start-up."""

from __future__ import annotations

from collections.abc import Callable

from agents.activity import Actor
from agents.models import Agent

Prepare = Callable[[Agent, Actor], None]

_preparers: list[Prepare] = []


def prepared_by(prepare: Prepare) -> None:
    """Have it called with each agent that is about to go, in the transaction that deletes it.

    It comes before the agent's row is locked, as boards and tasks are locked before agents.
    """
    if prepare not in _preparers:
        _preparers.append(prepare)


def prepare(agent: Agent, *, by: Actor) -> None:
    """Let everybody who wants to put things in order."""
    for each in _preparers:
        each(agent, by)
