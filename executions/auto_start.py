"""Agents that Signalbox runs and that were told something: what is live hears it, or they start.

After the commit of what told them. What a process did not live to do here is either no loss (the
message is kept) or found by the sweep: `start_idle`.
"""

from __future__ import annotations

import logging

from django.db import transaction
from django.db.models import Case, Exists, OuterRef, QuerySet, Value, When
from rest_framework.exceptions import APIException

from agents.activity import SYSTEM, Actor
from agents.models import ActorKind, Agent, LiveWork, Message, MessageKind
from agents.presence import RUNS_ITSELF
from boards.actions.boards import locked_board
from boards.models import Dependency, Seat, Task, TaskStatus
from boards.queries import ready_tasks
from executions import signals
from executions.at_work import Terms, start_on
from executions.models import Execution

logger = logging.getLogger(__name__)

# Agents that one sweep starts.
BATCH = 25

# What is said to a run, which hears it before its next turn.
_WORDS = {
    MessageKind.NUDGE: "{sender} nudges you: {content}",
    MessageKind.MENTION: "{sender} mentions you: {content}",
    MessageKind.ASSIGNMENT: "{sender} has assigned another task to you: {content}",
    MessageKind.WEBHOOK: "{sender} says: {content}",
}


def hear(message: Message) -> None:
    """What follows what an agent that does not run itself was told."""
    agent = message.recipient
    if message.kind not in _WORDS or agent is None or agent.kind == RUNS_ITSELF:
        return
    live = _live(agent, message)
    if live is not None and _say(live, message):
        return
    if "schedule_id" in message.data:
        return  # A schedule nudges hundreds at once: `start_idle` starts so many a sweep.
    seat = Seat.objects.filter(agent=agent, board__auto_start=True).first()
    if seat is not None:
        _start(seat)


def start_idle() -> int:
    """Start agents with tasks of theirs that are ready, and nothing live, where boards say so.

    A chore of the sweep: for what was assigned while an agent was busy, paused or had no place,
    and for hints that were lost. How many were started.
    """
    return sum(_start(seat) for seat in _idle().order_by("?")[:BATCH])


def _live(agent: Agent, message: Message) -> Execution | None:
    """What is to hear the message: its own task's run, or else the oldest of the agent's."""
    live = LiveWork.objects.filter(agent=agent).values("execution_id")
    of_it_first = Case(When(task=message.task_id, then=Value(0)), default=Value(1))
    rows = Execution.objects.filter(pk__in=live).order_by(of_it_first, "pk")
    return rows.only("id").first()


def _say(execution: Execution, message: Message) -> bool:
    """Whether it heard the message; one that has just ended does not."""
    by = Actor(ActorKind(message.sender_kind), message.sender_id, message.sender_name)
    words = _WORDS[MessageKind(message.kind)]
    text = words.format(sender=message.sender_name or "Somebody", content=message.content)
    try:
        signals.send_message(execution, text, by=by, dedup_key=str(message.id))
    except APIException as refusal:
        logger.info("%s did not hear of %s: %s", execution.id, message.id, refusal.detail)
        return False
    return True


def _start(seat: Seat) -> bool:
    """Start the agent on the first task of its own that is ready; whether there was one.

    A refusal is no error here: the sweep asks again.
    """
    try:
        with transaction.atomic():
            return _start_locked(seat)
    except APIException as refusal:
        logger.info("The agent %s was not started: %s", seat.agent_id, refusal.detail)
        return False


def _start_locked(seat: Seat) -> bool:
    # Under the lock of the board, which all its starts take: of two who are told at once, the
    # second sees what the first has started.
    board = locked_board(seat.board)
    agent = Agent.objects.get(pk=seat.agent_id)
    busy = LiveWork.objects.filter(agent=agent).exists()
    if busy or agent.is_paused or board.is_paused or not board.auto_start:
        return False
    task = ready_tasks(board, agent.id).filter(assigned_agent=agent).first()
    if task is None:
        return False
    task.board = board
    start_on(task, agent, Terms(), by=SYSTEM)
    return True


def _idle() -> QuerySet[Seat]:
    """Seats of agents that could start by themselves; whether they do is decided under locks."""
    unfinished = Dependency.objects.filter(task=OuterRef("pk")).exclude(on__status=TaskStatus.DONE)
    own = Task.objects.filter(
        board=OuterRef("board"), assigned_agent=OuterRef("agent"), status=TaskStatus.INBOX
    )
    seats = Seat.objects.filter(
        Exists(own.exclude(Exists(unfinished))),
        board__auto_start=True,
        board__is_paused=False,
        agent__is_paused=False,
    )
    seats = seats.exclude(agent__kind=RUNS_ITSELF)
    busy = LiveWork.objects.filter(agent=OuterRef("agent"))
    return seats.exclude(Exists(busy)).select_related("board")
