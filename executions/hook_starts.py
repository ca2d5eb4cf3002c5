"""Starts the executions that webhooks of boards ask for."""

from __future__ import annotations

from uuid import UUID

from agents.activity import Actor
from agents.models import Agent
from boards.hooks.starting import NotNow
from boards.models import Board
from executions import starts
from executions.configuration import Wish
from executions.errors import AgentPaused, BoardPaused, QueueFull


def start(agent: Agent, board: Board, prompt: str, by: Actor) -> UUID:
    """In the caller's transaction, which holds the board. Raises `NotNow` of a paused agent or
    board and a full queue, and as `starts.start` does.

    An execution of what is paused would be accepted and stand in the queue; nobody watches what
    comes from outside, so that it would fill the board's queue meanwhile.
    """
    # As they are now: the caller may have read them before a slow body came.
    if Agent.objects.filter(pk=agent.pk, is_paused=True).exists():
        raise NotNow(AgentPaused())
    if Board.objects.filter(pk=board.pk, is_paused=True).exists():
        raise NotNow(BoardPaused())
    try:
        return starts.start(agent, Wish(prompt=prompt, board=board), by=by).id
    except QueueFull as refusal:
        raise NotNow(refusal) from refusal
