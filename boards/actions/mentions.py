"""Whom a text names."""

import re

from agents.models import Agent
from boards.models import Board, SeatRole

_NAMED = re.compile(r"(?<![\w@])@([\w.-]*\w)")


def named_in(board: Board, text: str) -> list[Agent]:
    """The agents of a board that a text names as `@name`, `@slug` or `@lead`, each once."""
    words = {word.lower() for word in _NAMED.findall(text)}
    if not words:
        return []
    seats = board.seats.select_related("agent__gateway").order_by("agent_id")
    return [
        seat.agent
        for seat in seats
        if {seat.agent.slug, seat.agent.name.lower()} & words
        or (seat.role == SeatRole.LEAD and "lead" in words)
    ]
