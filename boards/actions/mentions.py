"""Whom a text names: `@lead`, `@name` and `@slug` of the agents seated on a board."""

from __future__ import annotations

import re

from agents.models import Agent
from boards.models import Board, Seat, SeatRole


def named_in(board: Board, text: str) -> list[Agent]:
    """The agents of the board that the text names, each once, in no particular order.

    Of two names that begin alike the longer one is meant; upper and lower case are the same.
    """
    if "@" not in text:
        return []
    names = _names(board)
    if not names:
        return []
    longest_first = sorted(names, key=len, reverse=True)
    pattern = "|".join(map(re.escape, longest_first))
    found = re.findall(rf"(?<!\w)@({pattern})(?!\w)", text, re.IGNORECASE)
    return list({agent.pk: agent for name in found for agent in names[name.lower()]}.values())


def _names(board: Board) -> dict[str, list[Agent]]:
    names: dict[str, list[Agent]] = {}
    for seat in Seat.objects.filter(board=board).select_related("agent__gateway"):
        called = {seat.agent.name.lower(), seat.agent.slug.lower()}
        if seat.role == SeatRole.LEAD:
            called.add("lead")
        for name in called:
            names.setdefault(name, []).append(seat.agent)
    return names
