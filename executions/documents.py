"""What answers show of executions, as the API names it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from agents.runtime.tools.todo import TodoWrite
from executions import lines
from executions.models import Condition, Execution, PauseReason, Status, ToolCall
from executions.queries import QueuePlace, usage_below
from executions.review import shown

EXECUTIONS = "/api/v0/executions/agents"
# What is read of an execution, and what is asked of it, by the last part of the address.
SUBJECTS = {
    "events": "events",
    "entries": "entries",
    "checkpoints": "checkpoints",
    "tool_calls": "tool-calls",
    "jobs": "jobs",
    "signals": "signals",
    "children": "children",
    "diff": "diff",
    "explain": "explain",
    "stream": "stream",
}
_AT_LIMITS: dict[str, str] = {
    PauseReason.TURN_LIMIT: "AGENT_TURN_LIMIT_EXCEEDED",
    PauseReason.BUDGET: "AGENT_BUDGET_EXCEEDED",
}
CONTROLS = (
    "cancel",
    "pause",
    "resume",
    "extend",
    "finish",
    "retry",
    "fork",
    "approve",
    "reject",
)


def address(execution_id: UUID) -> str:
    """Where an execution is read."""
    return f"{EXECUTIONS}/{execution_id}"


def whole_output(call: ToolCall) -> str | None:
    """Where the whole output of a call is read, if its row has it cut."""
    if call.whole_bytes is None:
        return None
    return f"{address(call.execution_id)}/tool-calls/{call.id}/output"


def document(execution: Execution, place: QueuePlace | None = None) -> dict[str, Any]:
    """The whole status document; what does not apply to it is left out.

    Reads `conditions`: prefetch them for a list.
    """
    return listed(execution) | _given(
        queue=queue(place),
        output=execution.output if execution.status == Status.COMPLETED else None,
        usage_of_children=usage_below(execution),
        todos=todos(execution),
        review=shown.review_of(execution),
        rejections=shown.rejections_of(execution),
    )


def todos(execution: Execution) -> list[dict[str, Any]] | None:
    """What it has written down to do, as its last call of TodoWrite has it; None without one."""
    written = lines.last_arguments(execution.id, TodoWrite.name)
    return written["todos"] if written else None


def listed(execution: Execution) -> dict[str, Any]:
    """The document as lists show it: without its output and its place in the queue."""
    return {
        "exec_id": execution.id,
        "agent": execution.agent_id,
        "board": execution.board_id,
        "task": execution.task_id,
        "kind": execution.kind,
        "status": execution.status,
        "input": execution.input,
        "turn": execution.turn,
        "max_turns": execution.max_turns,
        "token_budget": execution.token_budget,
        "seconds_budget": execution.seconds_budget,
        "usage": usage(execution),
        "recoveries": execution.recoveries,
        "priority": execution.priority,
        "created_at": execution.created_at,
        "queued_at": execution.queued_at,
        "started_at": execution.started_at,
        "finished_at": execution.finished_at,
        "duration_ms": milliseconds(execution.started_at, execution.finished_at),
        "deadline_at": execution.deadline_at,
        "links": _links(execution),
        **_given(
            wait=wait(execution),
            pause_reason=execution.pause_reason or None,
            code=_code(execution),
            failure=failure(execution),
            parent=execution.parent_id,
            retry_of=execution.retry_of_id,
            forked_from=execution.forked_from_id,
        ),
    }


def accepted(execution: Execution, place: QueuePlace | None) -> dict[str, Any]:
    """What a start answers that did not wait for an end."""
    return {
        "exec_id": execution.id,
        "exec_url": address(execution.id),
        "status": execution.status,
        **_given(queue=queue(place)),
    }


def result(execution: Execution) -> dict[str, Any]:
    """What a synchronous start answers when the execution has settled."""
    return {
        "exec_id": execution.id,
        "output": execution.output,
        "status": execution.status,
        "usage": usage(execution),
        **_given(
            failure=failure(execution),
            pause_reason=execution.pause_reason or None,
            code=_code(execution),
            cancel_reason=_cancel_reason(execution),
        ),
    }


def changes(execution: Execution) -> dict[str, Any]:
    """The diff of an execution's files; empty when it changed none, or has not ended."""
    stat = {"files": 0, "additions": 0, "deletions": 0}
    nothing = {"stat": stat, "files": [], "patch": "", "cut": False}
    return {"exec_id": execution.id, "status": execution.status, **(execution.diff or nothing)}


def usage(execution: Execution) -> dict[str, Any]:
    """What its model requests cost so far, in all and by model."""
    counted = ("requests", "input_tokens", "output_tokens", "cached_tokens")
    spent = execution.usage
    return {
        **{name: spent.get(name, 0) for name in counted},
        "by_model": spent.get("by_model", []),
    }


def failure(execution: Execution) -> dict[str, Any] | None:
    """How it failed, if it did."""
    if execution.status != Status.FAILED:
        return None
    return {
        "code": execution.failure_code,
        "message": execution.failure_message,
        "details": execution.failure_details,
    }


def _code(execution: Execution) -> str | None:
    """The code of one that stands at a limit: no failure, but a program may want to know."""
    return _AT_LIMITS.get(execution.pause_reason)


def milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    """Between two times, if there are both."""
    return None if start is None or end is None else round((end - start).total_seconds() * 1000)


def _cancel_reason(execution: Execution) -> str | None:
    return execution.cancel_reason if execution.status == Status.CANCELLED else None


def queue(place: QueuePlace | None) -> dict[str, Any] | None:
    """Its place in the queue, if it has one."""
    if place is None:
        return None
    return asdict(place) | {"blocked_by": place.blocked_by or None}


def wait(execution: Execution) -> dict[str, Any] | None:
    """What it waits for, and what of that has happened; None where it does not wait."""
    if execution.status not in (Status.WAITING, Status.PAUSED):
        return None
    conditions = [_condition(each) for each in execution.conditions.all()]
    return {"mode": execution.wait_mode, "conditions": conditions} if conditions else None


def _condition(condition: Condition) -> dict[str, Any]:
    return {
        "kind": condition.kind,
        "name": condition.name or None,
        "target": condition.target_id,
        "reason": condition.reason,
        "due_at": condition.due_at,
        "met": condition.met_at is not None,
    }


def _links(execution: Execution) -> dict[str, str]:
    here = address(execution.id)
    links = {"self": here} | {name: f"{here}/{path}" for name, path in SUBJECTS.items()}
    links |= {control: f"{here}/{control}" for control in CONTROLS}
    if execution.agent_id is not None:
        links["agent"] = f"/api/v0/agents/{execution.agent_id}"
    return links


def _given(**members: Any) -> dict[str, Any]:
    """Those members that have a value."""
    return {name: value for name, value in members.items() if value is not None}
