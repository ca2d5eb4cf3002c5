"""Runs whose Bash needs a person, the calls that they wait with, and the death of their workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

from django.db.models import F

from agents.activity import Actor
from agents.models import ActorKind
from executions.engine.sweep import sweep
from executions.models import Execution, ToolCall
from tests.executions.carrying import drive
from tests.factories import API
from tests.starting import a_run, an_agent, tool

ADA = Actor(ActorKind.MEMBER, uuid4(), "Ada")
ONE = tool("Bash", command="echo one >> a.txt; cat a.txt")


def held_run(*turns: dict[str, Any], wish: Any = None, **agent: Any) -> Execution:
    """A run of an agent whose Bash needs a person, carried on until it leaves."""
    given = {"approval_required": ["Bash"], **agent}
    run = a_run(an_agent(**given), *(turns or [ONE]), {"say": "done"}, **(wish or {}))
    drive(run)
    return run


def calls_of(run: Execution) -> list[ToolCall]:
    return list(ToolCall.objects.filter(execution=run).order_by("reply_position", "position"))


def only_call(run: Execution) -> ToolCall:
    (call,) = calls_of(run)
    return call


def at(call: ToolCall, what: str) -> str:
    """Where a call is decided."""
    return f"{API}/executions/agents/{call.execution_id}/tool-calls/{call.id}/{what}"


def lose_worker(run: Execution) -> None:
    """Its worker died: the lease runs out, and the sweep puts it back into the queue."""
    earlier = F("lease_expires_at") - timedelta(hours=1)
    Execution.objects.filter(pk=run.pk).update(lease_expires_at=earlier)
    sweep()
    run.refresh_from_db()
