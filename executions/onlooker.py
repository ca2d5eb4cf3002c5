"""A person at the demonstration: decides what comes up, and says aloud what it decides."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from django.db import connection
from rich.console import Console
from rich.markup import escape

from agents.activity import Actor
from boards.models import Task, TaskStatus
from executions import actions, tool_decisions
from executions.models import (
    CallStatus,
    Condition,
    Event,
    Execution,
    Merge,
    MergeStatus,
    PauseReason,
    ToolCall,
)
from executions.review.decisions import approve_work, reject_work

# How many turns more there are each time that the limit is reached.
MORE_TURNS = 6
_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Onlooker:
    """Decides as `by`, on the console that the transcript is printed on."""

    console: Console
    by: Actor

    def hear(self, event: Event) -> bool:
        """Decide on a call that needs a person, and on a limit that is reached; nothing else."""
        if Condition.Kind.TOOL_CALL in event.data.get("for", ()):
            self._allow(event.execution_id)
            return True
        if event.data.get("reason") == PauseReason.TURN_LIMIT:
            self.say(f"extends its turn limit by {MORE_TURNS}")
            execution = Execution.objects.get(pk=event.execution_id)
            actions.extend(execution, turns=MORE_TURNS, by=self.by)
            return True
        return False

    def reject(self, execution: Execution, reason: str) -> Execution:
        """Send the work back: the execution that goes on with it."""
        self.say(f"rejects: {reason}")
        return reject_work(execution, reason=reason, by=self.by)

    def approve(self, execution: Execution) -> Merge | None:
        """Have the work merged, and wait for that; None where there was nothing to merge."""
        self.say("approves, which merges the work")
        merge = approve_work(execution, by=self.by)
        if merge is None:
            return None
        _wait(lambda: not _is_under_way(merge.pk))
        merge.refresh_from_db()
        return merge

    def wait_for_review(self, task: Task) -> bool:
        """Wait until the work is handed in; whether it was."""
        return _wait(lambda: _column_of(task) == TaskStatus.REVIEW)

    def say(self, text: str) -> None:
        self.console.print(f"[magenta]● {escape(self.by.name)} {escape(text)}[/magenta]")

    def _allow(self, execution_id: UUID) -> None:
        waiting = ToolCall.objects.filter(
            execution_id=execution_id, status=CallStatus.AWAITING_APPROVAL, decision=""
        )
        for call in waiting:
            asked = call.arguments.get("command", call.arguments)
            self.say(f"approves {call.name}: {asked}")
            tool_decisions.approve(call, by=self.by)


def _column_of(task: Task) -> str:
    return Task.objects.values_list("status", flat=True).get(pk=task.pk)


def _is_under_way(key: UUID) -> bool:
    return Merge.objects.filter(pk=key, status=MergeStatus.REQUESTED).exists()


def _wait(holds: Callable[[], bool]) -> bool:
    """Look until it holds; False when that takes longer than anyone would watch."""
    deadline = time.monotonic() + _PATIENCE
    while not holds():
        connection.close()
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True
