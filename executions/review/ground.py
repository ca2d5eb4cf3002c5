"""What a decision on an execution's work stands on: board, task and row, locked in this order."""

from __future__ import annotations

from dataclasses import dataclass

from agents.activity import Actor
from agents.models import ActorKind
from boards.actions.approvals import AgentDecides, already_decided, check_decider
from boards.actions.tasks import locked_task
from boards.errors import TaskNotFound
from boards.models import Approval, ApprovalKind, ApprovalStatus, Task, TaskStatus
from executions.errors import ExecutionState, TaskNotInReview
from executions.models import Execution, Status
from executions.review.asked import approval_of

_PUT_IT_THERE = "The task of this work is not in review; once it is put there, this can be decided."
_ASKED_AGAIN = (
    "The approval was withdrawn; it is asked for again when the task leaves review and comes back."
)


@dataclass(frozen=True, slots=True)
class Ground:
    """An execution and its task as they are now; no task where that is gone."""

    execution: Execution
    task: Task | None


@dataclass(frozen=True, slots=True)
class Review:
    """Work that waits for a decision; no approval where none has been asked for."""

    execution: Execution
    task: Task
    approval: Approval | None


def held(execution: Execution) -> Ground:
    """The ground, locked until the transaction ends."""
    task = _locked_task(execution)
    rows = Execution.objects.filter(pk=execution.pk)
    rows.select_for_update(no_key=True).values_list("pk").first()
    # Locked in one statement and looked at in the next. The patch may be a megabyte.
    row = rows.select_related("agent", "board").defer("spec", "diff").get()
    return Ground(row, task if row.task_id else None)


def _locked_task(execution: Execution) -> Task | None:
    if execution.task_id is None:
        return None
    try:
        task = Task.objects.select_related("board").get(pk=execution.task_id)
        return locked_task(task)
    except (Task.DoesNotExist, TaskNotFound):
        return None


def under_review(execution: Execution, *, by: Actor) -> Review:
    """The work, if this may be who decides on it now.

    Raises `AgentDecides`, `RequesterDecides`, `AlreadyDecided`, `ExecutionState` where it has not
    completed, and `TaskNotInReview`.
    """
    ground = held(execution)
    # Who withdraws an approval holds its row alone.
    asked = Approval.objects.filter(execution_id=execution.pk, kind=ApprovalKind.MERGE)
    list(asked.order_by("pk").select_for_update(no_key=True).values_list("pk"))
    row, task, approval = ground.execution, ground.task, approval_of(execution)
    if by.kind == ActorKind.AGENT:
        raise AgentDecides
    if approval is not None:
        check_decider(approval, by=by)
        if approval.status in (ApprovalStatus.APPROVED, ApprovalStatus.REJECTED):
            raise already_decided(approval)
    if row.status != Status.COMPLETED:
        raise ExecutionState(
            f"The execution is {row.status}.",
            execution_status=str(row.status),
            allowed=[str(Status.COMPLETED)],
        )
    if task is None:
        raise TaskNotInReview("The task of this work is gone.", task_status=None)
    if not is_last(row):
        raise TaskNotInReview("A later execution has worked on the task.", task_status=task.status)
    if task.status != TaskStatus.REVIEW:
        raise TaskNotInReview(_PUT_IT_THERE, task_status=task.status)
    if approval is not None and approval.status == ApprovalStatus.WITHDRAWN:
        raise already_decided(approval, _ASKED_AGAIN)
    return Review(row, task, approval)


def is_last(execution: Execution) -> bool:
    """Whether no later execution is one of its task."""
    if execution.task_id is None:
        return True
    later = Execution.objects.filter(task_id=execution.task_id, pk__gt=execution.pk)
    return not later.exists()
