"""What must hold of executions after whatever happened to their workers."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings

from agents.redis import client
from executions import git
from executions.models import (
    TERMINAL,
    CallStatus,
    Checkpoint,
    Entry,
    Event,
    Execution,
    Status,
    ToolCall,
)
from executions.worktrees import places
from tests.chaos.held_model import HeldModel
from tests.processes import wait_until

# What leaves `running`. A lost claim is left by its recovery.
_LEAVES = {
    "execution.completed",
    "execution.failed",
    "execution.cancelled",
    "execution.paused",
    "execution.waiting",
    "execution.queued",
    "execution.recovered",
}
_CLAIMS = {"execution.started", "execution.resumed"}
_REPEATABLE = {"Read", "Glob", "Grep"}


def have_ended(executions: Iterable[Execution]) -> bool:
    """Whether all of them have; one small question, however many they are."""
    ids = [execution.pk for execution in executions]
    return not Execution.objects.filter(pk__in=ids).exclude(status__in=TERMINAL).exists()


def assert_completed(executions: Iterable[Execution]) -> None:
    """Every one ended well, and its record is whole."""
    for execution in executions:
        execution.refresh_from_db()
        told = (execution.status, execution.failure_code, execution.failure_message)
        assert told == (Status.COMPLETED, "", ""), execution.id
        assert_whole(execution)


def assert_whole(execution: Execution) -> None:
    """Events and entries are lines without a gap, and each checkpoint is a state that was."""
    events = list(execution.events.order_by("seq").values_list("seq", "type"))
    assert [seq for seq, _ in events] == list(range(1, execution.event_seq + 1))
    entries = list(execution.entries.order_by("position"))
    assert [entry.position for entry in entries] == list(range(1, execution.position + 1))
    assert [entry.parent_id for entry in entries] == [None, *(entry.id for entry in entries[:-1])]
    _assert_calls_are_answered(execution, entries)
    _assert_checkpoints(execution, entries)


def _assert_calls_are_answered(execution: Execution, entries: list[Entry]) -> None:
    """One row and one result for each call that the model asked for, of the same outcome."""
    asked = [
        request["call_id"]
        for entry in entries
        for request in entry.content.get("tool_requests", ())
    ]
    results = [entry.content["call_id"] for entry in entries if entry.role == "tool_result"]
    calls = ToolCall.objects.filter(execution=execution).order_by("reply_position", "position")
    assert asked == results == [call.call_id for call in calls]
    outputs = [entry.content["text"] for entry in entries if entry.role == "tool_result"]
    assert outputs == [call.output for call in calls]
    assert not calls.filter(status__in=[CallStatus.PREPARED, CallStatus.RUNNING])


def _assert_checkpoints(execution: Execution, entries: list[Entry]) -> None:
    checkpoints = list(Checkpoint.objects.filter(execution=execution))
    assert [each.sequence for each in checkpoints] == list(range(1, execution.checkpoint + 1))
    for checkpoint in checkpoints:
        leaf = entries[checkpoint.position - 1]
        assert (leaf.turn, leaf.role) == (checkpoint.turn, "tool_result")
        _assert_tree_is_kept(execution, checkpoint.tree)
    _assert_tree_is_kept(execution, execution.tree)


def _assert_tree_is_kept(execution: Execution, tree: str) -> None:
    if tree:
        git_dir = places.git_dir_of(execution.worktree.repository, execution.organization_id)
        assert git.has_commit(git_dir, tree), f"{execution.id} has lost the files of {tree}"


def assert_nothing_ran_twice(executions: Iterable[Execution], effects: Counter[str]) -> None:
    """What was committed began once; what is unknown was begun at most once."""
    for call in ToolCall.objects.filter(execution__in=list(executions)):
        began = effects[str(call.id)]
        if call.name in _REPEATABLE:
            assert 1 <= began <= call.runs
        elif call.status == CallStatus.UNKNOWN:
            assert (call.runs, began <= 1) == (1, True)
        else:
            assert (call.runs, began) == (1, 1), f"{call} of {call.execution_id}"


def assert_files_are_what_was_committed(execution: Execution) -> None:
    """`log.txt` has the word of every call that is complete, once and in order, and no other."""
    calls = ToolCall.objects.filter(execution=execution, name="Bash", status=CallStatus.COMPLETE)
    words = [call.arguments["command"].split()[1] for call in calls]
    patch = (execution.diff or {"patch": ""})["patch"].splitlines()
    added = [line[1:] for line in patch if line.startswith("+") and not line.startswith("+++")]
    assert added == words


def assert_no_reply_was_asked_again(execution: Execution, tag: str, model: HeldModel) -> None:
    """Nobody asks for a turn whose reply is committed."""
    for reply in execution.entries.filter(role="assistant"):
        asked = model.asked(tag, reply.turn)
        assert asked, f"turn {reply.turn} of {execution.id} was never asked for"
        late = [each for each in asked if each.asked_at > reply.created_at.timestamp()]
        assert not late, f"turn {reply.turn} of {execution.id} was asked for again"


def recovery_delays(leases: Mapping[UUID, datetime]) -> list[timedelta]:
    """How long after its last renewal each was recovered; `leases` are the ends of their leases."""
    recovered = Event.objects.filter(execution__in=list(leases), type="execution.recovered")
    return [
        event.created_at - leases[event.execution_id] + settings.EXECUTION_LEASE
        for event in recovered
    ]


def most_at_once(executions: Iterable[Execution]) -> int:
    """How many held a claim at the same time, at most, by the times of their events."""
    steps: list[tuple[datetime, int]] = []
    for execution in executions:
        is_claimed = False
        for at, kind in execution.events.order_by("seq").values_list("created_at", "type"):
            if kind in _CLAIMS and not is_claimed:
                steps.append((at, 1))
                is_claimed = True
            elif kind in _LEAVES and is_claimed:
                steps.append((at, -1))
                is_claimed = False
    running = most = 0
    for _, step in sorted(steps):
        running += step
        most = max(most, running)
    return most


def reconcile_now() -> None:
    """Let the minute between two reconciliations be over."""
    client().delete("{signalbox}:chore:reconcile")


def assert_no_permit_is_left() -> None:
    """All permits come back, the last ones a moment after the last end."""
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not _permits(), seconds=5)
    left = _permits()
    assert not left, left


def _permits() -> dict[str, object]:
    keys = client().scan_iter(match="{signalbox}:permits:*")
    return {key: client().smembers(key) for key in keys}
