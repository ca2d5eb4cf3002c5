"""Who starts the executions that webhooks ask for: a floor above says so at start-up."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from agents.activity import Actor
from agents.errors import Refusal
from agents.models import Agent
from boards.models import Board


class NotNow(Exception):
    """It cannot start at this moment, for the reason that the refusal has; later it may."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(str(refusal.detail))
        self.refusal = refusal


# Starts the agent on the board with the prompt, in the caller's transaction, which has locked the
# board; the execution's id. Raises NotNow, or an APIException, having written nothing.
Start = Callable[[Agent, Board, str, Actor], UUID]

_starters: list[Start] = []


def started_by(start: Start) -> None:
    """Have executions started by the function."""
    _starters[:] = [start]


def start(agent: Agent, board: Board, prompt: str, *, by: Actor) -> UUID:
    """Start one. Raises as `Start` does."""
    (begin,) = _starters
    return begin(agent, board, prompt, by)
