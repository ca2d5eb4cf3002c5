"""The types of events: those that are numbered rows, and those that are shown and not kept."""

from __future__ import annotations

from executions.models import TERMINAL

# The last event of an execution has one of these.
ENDS = frozenset(f"execution.{status}" for status in TERMINAL)

_BY_SUBJECT = {
    "execution": (
        "queued started waiting resumed paused turn checkpoint cancelling cancelled completed "
        "failed recovered forked compacted"
    ),
    "signal": "received consumed",
    "agent": "turn_warning created updated deleted",
    "tool": "started finished denied interrupted",
    "approval": "requested approved rejected",
    "job": "scheduled started completed failed cancelled",
    "child": "spawned finished",
    "task": "queued assigned moved",
    "worktree": "created merged removed error",
}
NUMBERED = frozenset(
    f"{subject}.{what}" for subject, words in _BY_SUBJECT.items() for what in words.split()
)
EPHEMERAL = frozenset(
    {"token", "thinking", "tool_output", "progress", "data", "error", "task.queue_position"}
)


def types() -> frozenset[str]:
    """Every type that a stream of executions can be asked for."""
    return NUMBERED | EPHEMERAL
