"""Removes a worker although it is at work: what it does is cancelled, what it had is free."""

from __future__ import annotations

from django.db import transaction

from agents.actions import delete_agent
from agents.activity import Actor
from agents.errors import AgentNotFound
from agents.models import Agent, LiveWork
from boards.actions.boards import locked_board
from boards.models import Board, Seat, SeatRole
from executions import actions
from executions.models import TERMINAL, Execution


@transaction.atomic
def remove_worker(board: Board, agent: Agent, *, by: Actor) -> None:
    """Delete a worker of the board: its tasks go back to the inbox, its executions are cancelled,
    at once where one runs. Raises AgentNotFound, also for who is no worker there any more.

    No execution of it starts meanwhile: a start shares the row that is locked here.
    """
    locked = locked_board(board)
    if not Seat.objects.filter(board=locked, agent=agent, role=SeatRole.WORKER).exists():
        raise AgentNotFound
    if not Agent.objects.select_for_update(no_key=True).filter(pk=agent.pk).first():
        raise AgentNotFound
    live = Execution.objects.filter(agent=agent).exclude(status__in=TERMINAL)
    for execution in live.order_by("pk"):
        actions.cancel(execution, by=by, reason="Its agent was removed.", is_hard=True)
    # What a worker still has to end is no longer the agent's, which would keep it from going. Its
    # permit in the set of that agent, which nobody asks for any more, goes with the next
    # reconciliation.
    LiveWork.objects.filter(agent=agent).update(agent=None)
    delete_agent(agent, by=by)
