"""The approval by which a person is asked whether an execution's work may be merged."""

from __future__ import annotations

from typing import Any

from agents.activity import Actor
from agents.models import ActorKind
from boards.actions import approvals
from boards.actions.approvals import ApprovalRequest
from boards.models import Approval, ApprovalKind, ApprovalStatus, Task
from executions.models import Execution

_ACTION = "merge"
_WITHOUT_FILES = (
    "The work on “{title}” is done, but what it changed cannot be read: {detail} "
    "If it is approved, the task is done and nothing is merged; to have the work done again, start "
    "the task."
)


def author_of(execution: Execution) -> Actor:
    """Whose work it is: its agent, or the name under which it ran without one."""
    agent = execution.agent
    name = agent.name if agent else execution.agent_name
    return Actor(ActorKind.AGENT, execution.agent_id, name or execution.kind)


def changes_of(execution: Execution) -> dict[str, Any] | None:
    """`{branch, commit, stat}` of its diff, without the patch; None where it changed no file."""
    wanted = ("diff__branch", "diff__commit", "diff__stat")
    row = Execution.objects.filter(pk=execution.pk, diff__isnull=False).values(*wanted).first()
    if row is None or not (row["diff__stat"] or {}).get("files"):
        return None
    return {name.removeprefix("diff__"): value for name, value in row.items()}


def approval_of(execution: Execution) -> Approval | None:
    """The approval of its merge, pending or not: the newest, where one was withdrawn before."""
    rows = Approval.objects.filter(execution_id=execution.pk, kind=ApprovalKind.MERGE)
    return rows.select_related("board").order_by("-id").first()


def problem_of(approval: Approval | None) -> dict[str, Any] | None:
    """`{code, detail, facts}` of why the work was handed in without what it changed, if it was."""
    return approval.payload.get("problem") if approval else None


def ask(execution: Execution, task: Task, *, problem: dict[str, Any] | None = None) -> Approval:
    """Ask for the merge, on behalf of whose work it is; the caller holds board and task.

    Where nobody could read what it changed, `problem` says why, and there is nothing to merge.
    """
    changes = changes_of(execution)
    stat = changes["stat"] if changes else {"files": 0}
    payload = {"exec_id": str(execution.pk), **(changes or {"stat": stat}), "files": stat["files"]}
    reason = f"The work on “{task.title}” is done: {stat['files']} files changed."
    if problem is not None and not changes:
        payload |= {"problem": problem}
        reason = _WITHOUT_FILES.format(title=task.title, detail=problem["detail"])
    request = ApprovalRequest(
        action_type=_ACTION, reason=reason, payload=payload, execution_id=execution.pk
    )
    return approvals.ask_merge(task, request, by=author_of(execution))


def ask_again(task: Task) -> None:
    """Ask for the merge of the last work on a task that has come into review, if nobody decided.

    The caller holds board and task.
    """
    last = Execution.objects.filter(task=task).select_related("agent").defer("spec", "diff")
    execution = last.order_by("-id").first()
    if execution is None:
        return
    before = approval_of(execution)
    if before is None:
        # Only what has completed has any.
        is_open = changes_of(execution) is not None
    else:
        is_open = before.status == ApprovalStatus.WITHDRAWN
    if is_open:
        ask(execution, task, problem=problem_of(before))
