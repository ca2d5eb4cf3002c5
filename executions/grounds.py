"""What a run stands on: held under locks while it is accepted, where there is room for it.

Whatever starts a run of a task comes through here, and so takes the task into work: it is the
one place where a start claims and moves its task.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import QuerySet

from agents.activity import Actor
from agents.errors import AgentAlreadyRunning, AgentNotFound
from agents.live import hold
from agents.models import Agent, LiveWork, Organization
from boards.actions import begin_task
from boards.errors import BoardNotFound, TaskNotFound
from boards.models import Board, Task
from executions.errors import AgentPaused, BoardPaused, LimitExceeded, QueueFull, TaskBusy, WorkGone
from executions.models import Execution, Status


@dataclass(frozen=True, slots=True)
class Ground:
    """Where a run belongs; None is nothing of that kind. With a task, the board is the task's.

    `may_queue`: it is accepted although it cannot begin at once.
    """

    organization_id: UUID
    agent: Agent | None = None
    board: Board | None = None
    task: Task | None = None
    may_queue: bool = True


@contextmanager
def held(ground: Ground, *, by: Actor) -> Iterator[Ground]:
    """A transaction in which a run on this ground is accepted: the ground as it is now, locked.

    Its task is the agent's then, and in progress. Raises `AgentNotFound` and `WorkGone` for what
    has been deleted, `TaskBusy` when the task gets a second live execution, `QueueFull` where the
    board has no room, and the refusals of `begin_task`. A run that may not queue raises
    `AgentPaused`, `BoardPaused`, `AgentAlreadyRunning` and `LimitExceeded` too.
    """
    try:
        with transaction.atomic():
            yield _locked(ground, by)
    except IntegrityError as error:
        raise _busy(ground.task, error) from error


def _locked(ground: Ground, by: Actor) -> Ground:
    """In the order of locks, so that nobody changes it meanwhile."""
    task = ground.task
    try:
        board = task.board if task else ground.board
        board = board and _locked_board(board)
        if task is not None:
            _refuse_second(task)
        if board is not None:
            _keep_room(board)
        task = task and begin_task(task, ground.agent, by=by)
        if ground.may_queue:
            agent = ground.agent and hold(ground.agent)
        else:
            agent = ground.agent and _free_agent(ground.agent)
            _require_slots(ground.organization_id, board)
    except Agent.DoesNotExist as error:
        raise AgentNotFound from error
    except (Board.DoesNotExist, BoardNotFound, TaskNotFound) as error:
        raise WorkGone from error
    return replace(ground, agent=agent, board=board, task=task)


def _locked_board(board: Board) -> Board:
    return Board.objects.select_for_update(no_key=True).get(pk=board.pk)


def _keep_room(board: Board) -> None:
    """Under the board's lock: refuse when the queue behind the free slots is full."""
    if board.max_concurrent is None:
        return
    # The partial indexes that serve these counts begin with the organization.
    live = Execution.objects.filter(organization_id=board.organization_id, board=board)
    queued = live.filter(status=Status.QUEUED, admitted_epoch=None).count()
    admitted = live.filter(admitted_epoch__isnull=False).count()
    if queued >= board.max_queue + max(0, board.max_concurrent - admitted):
        raise QueueFull(queue_size=queued, max_size=board.max_queue)


def _refuse_second(task: Task) -> None:
    """Under the board's lock, which every start of a task of the board takes."""
    other = LiveWork.objects.filter(task_id=task.pk).first()
    if other is not None:
        raise TaskBusy(current_task_id=str(task.pk), current_execution_id=str(other.execution_id))


def _free_agent(agent: Agent) -> Agent:
    """The agent, locked so that starts come one by one, where a run of it need not queue."""
    locked = Agent.objects.select_for_update(no_key=True).get(pk=agent.pk)
    if locked.is_paused:
        raise AgentPaused
    mine = _moving().filter(agent=locked)
    if _is_full(mine, locked.max_concurrency):
        at_work = mine.values_list("pk", "task_id").first() or (None, None)
        raise AgentAlreadyRunning(
            current_execution_id=str(at_work[0]), current_task_id=at_work[1] and str(at_work[1])
        )
    return locked


def _require_slots(organization_id: UUID, board: Board | None) -> None:
    if board is not None and board.is_paused:
        raise BoardPaused
    if board is not None and _is_full(_moving().filter(board=board), board.max_concurrent):
        raise LimitExceeded(scope="board", limit=board.max_concurrent)
    limited = Organization.objects.filter(pk=organization_id, max_concurrent__isnull=False)
    # Locked, where it has a limit: its other agents start too.
    organization = limited.select_for_update(no_key=True).first()
    if organization is None:
        return
    at_work = _moving().filter(organization=organization)
    if _is_full(at_work, organization.max_concurrent):
        raise LimitExceeded(scope="organization", limit=organization.max_concurrent)


def _moving() -> QuerySet[Execution]:
    return Execution.objects.filter(status__in=[Status.QUEUED, Status.RUNNING, Status.CANCELLING])


def _is_full(live: QuerySet[Execution], limit: int | None) -> bool:
    return limit is not None and live.count() >= limit


def _busy(task: Task | None, error: IntegrityError) -> Exception:
    """The refusal of a task that has live work; any other broken constraint stays what it is."""
    other = LiveWork.objects.filter(task_id=task.pk).first() if task else None
    if task is None or other is None:
        return error
    return TaskBusy(current_task_id=str(task.pk), current_execution_id=str(other.execution_id))
