"""An agent at work: started on a task, stopped, paused, and let go on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from django.db import transaction
from django.db.models import QuerySet
from rest_framework.exceptions import ErrorDetail, ValidationError

from agents.actions import pause_agent, unpause_agent
from agents.activity import Actor
from agents.models import Agent, LiveWork
from boards.actions.boards import locked_board
from boards.models import Seat, Task, TaskStatus
from boards.queries import ready_tasks
from executions import actions, signals, stream
from executions.configuration import Wish, check_runs_here
from executions.errors import AgentNotRunning, ExecutionState, NoAvailableTask
from executions.models import Execution, PauseReason, Status

# What a resume of the agent lets go on; what is at a limit is extended.
_RESUMED = (PauseReason.AGENT, PauseReason.OPERATOR)


@dataclass(frozen=True, slots=True)
class Terms:
    """How work on a task is wanted: `words` come after its brief, no priority is the task's own."""

    words: str = ""
    may_queue: bool = True
    priority: int | None = None


def start_on(task: Task, agent: Agent, terms: Terms, *, by: Actor) -> Execution:
    """Start an agent on a task, which is its own and in progress then. Raises as `start` does."""
    wish = Wish(
        prompt=terms.words,
        board=task.board,
        task=task,
        priority=terms.priority or task.priority,
        may_queue=terms.may_queue,
        is_briefed=True,
    )
    return actions.start(agent, wish, by=by)


def start_next(agent: Agent, terms: Terms, *, by: Actor) -> Execution:
    """Start an agent on the first task that is ready for it, its own before those of nobody.

    Raises `NoAvailableTask`, and as `start` does.
    """
    check_runs_here(agent)
    seat = Seat.objects.select_related("board").filter(agent=agent).first()
    if seat is None:
        raise NoAvailableTask("The agent has no seat on a board.")
    with transaction.atomic():
        # Chosen under the lock of the start, so that two who ask at once get different tasks.
        board = locked_board(seat.board)
        task = ready_tasks(board, agent.id).first()
        if task is None:
            raise NoAvailableTask
        task.board = board
        return start_on(task, agent, terms, by=by)


def agent_of(task: Task) -> Agent:
    """Who is started on a task when nobody is named: who has it, or from review, who did it.

    Raises a ValidationError where it is nobody's.
    """
    was_review = task.status == TaskStatus.REVIEW and task.handed_in_by
    agent = was_review or task.assigned_agent
    if agent is None:
        text = "Nobody has this task: name an agent."
        raise ValidationError({"agent": [ErrorDetail(text, code="required")]})
    return agent


@transaction.atomic
def stop(agent: Agent, *, by: Actor, reason: str = "") -> list[Execution]:
    """Cancel what the agent has at work; worktrees and tasks stay as they are.

    Raises `AgentNotRunning` where there is nothing, and `NotCancellable`.
    """
    stopped = []
    for execution in live_of(agent):
        with suppress(ExecutionState):  # It has just ended.
            stopped.append(actions.cancel(execution, by=by, reason=reason))
    if not stopped:
        raise AgentNotRunning
    return stopped


@transaction.atomic
def pause(agent: Agent, *, by: Actor) -> list[Execution]:
    """Let nothing of the agent start, and what runs stand still at its next boundary."""
    pause_agent(agent, by=by)
    live = list(live_of(agent))
    for execution in live:
        if execution.status == Status.RUNNING:
            call = partial(stream.call_to_look, execution.id)
            transaction.on_commit(call, robust=True)
    return live


@transaction.atomic
def resume(agent: Agent, *, by: Actor, feedback: str = "") -> list[Execution]:
    """Let a paused agent go on, and what of it stands still, by the agent's pause or a person's.

    Each goes through the queue with the turns it has had. `feedback` is told to all of them, and
    to what of a paused agent had not come to a boundary yet. What is at its limit stays there,
    for it needs more. Raises `AgentNotRunning` where neither the agent nor anything of it pauses.
    """
    was_paused = Agent.objects.select_for_update(no_key=True).get(pk=agent.pk).is_paused
    unpause_agent(agent, by=by)
    live = list(live_of(agent))
    paused = [each for each in live if each.pause_reason in _RESUMED]
    if not was_paused and not paused:
        raise AgentNotRunning("Neither the agent nor anything of it is paused by anybody.")
    for number, execution in enumerate(live):
        with suppress(ExecutionState):  # It has just ended, or goes on by itself.
            if execution in paused:
                live[number] = actions.resume(execution, by=by, feedback=feedback)
            elif feedback and was_paused:
                signals.send_message(execution, feedback, by=by)
    return live


def live_of(agent: Agent) -> QuerySet[Execution]:
    """What the agent has at work, parents first: the order in which rows are locked."""
    live = LiveWork.objects.filter(agent=agent).values("execution_id")
    return Execution.objects.filter(pk__in=live).defer("spec", "diff").order_by("pk")
