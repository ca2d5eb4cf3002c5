"""What a worker outside is given with an execution: all that it needs to go on."""

from __future__ import annotations

from typing import Any

from django.conf import settings

from executions import documents
from executions.models import Checkpoint, Execution
from executions.remote.run import RemoteRun
from executions.remote.told import told


def claimed(execution: Execution) -> dict[str, Any]:
    """The execution as its new claim finds it."""
    spec = execution.spec
    return told(execution.id) | {
        "exec_id": execution.id,
        "epoch": execution.epoch,
        "lease_seconds": settings.EXECUTION_LEASE.total_seconds(),
        "kind": execution.kind,
        "agent": {"id": execution.agent_id, "name": execution.agent_name},
        "board": execution.board_id,
        "task": execution.task_id,
        "input": execution.input,
        # Not the variables of its board: they are for tools that run here.
        "configuration": {
            "model": spec["model"],
            "soul": spec["soul"],
            "tools": spec["tools"],
            "output_schema": spec["output_schema"],
        },
        "checkpoint": latest_checkpoint(execution),
        "leaf": RemoteRun(execution).leaf,
        "turn": execution.turn,
        "max_turns": execution.max_turns,
        "usage": documents.usage(execution),
        "recoveries": execution.recoveries,
        "priority": execution.priority,
        "deadline_at": execution.deadline_at,
    }


def latest_checkpoint(execution: Execution) -> dict[str, Any]:
    """The last checkpoint; before the first, one that says so."""
    row = Checkpoint.objects.filter(execution=execution).order_by("-sequence").first()
    if row is None:
        return {"sequence": 0, "position": 0, "turn": 0, "state": {}, "created_at": None}
    return {
        "sequence": row.sequence,
        "position": row.position,
        "turn": row.turn,
        "state": row.state,
        "created_at": row.created_at,
    }
