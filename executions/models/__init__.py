"""What was done: executions, their transcripts, their tool calls, and who carries them out."""

from executions.models.execution import (
    AT_A_LIMIT,
    LIVE,
    TERMINAL,
    Execution,
    PauseReason,
    Status,
    WaitMode,
)
from executions.models.job import JOB_TERMINAL, Job, JobStatus
from executions.models.merge import Merge, MergeStatus
from executions.models.step import Step
from executions.models.toolcall import CallDecision, CallStatus, ToolCall, WholeOutput
from executions.models.transcript import Checkpoint, Entry, EntryType, Event
from executions.models.wait import Condition, Signal
from executions.models.worker import Worker
from executions.models.worktree import Worktree, WorktreeStatus

__all__ = [
    "AT_A_LIMIT",
    "JOB_TERMINAL",
    "LIVE",
    "TERMINAL",
    "CallDecision",
    "CallStatus",
    "Checkpoint",
    "Condition",
    "Entry",
    "EntryType",
    "Event",
    "Execution",
    "Job",
    "JobStatus",
    "Merge",
    "MergeStatus",
    "PauseReason",
    "Signal",
    "Status",
    "Step",
    "ToolCall",
    "WaitMode",
    "WholeOutput",
    "Worker",
    "Worktree",
    "WorktreeStatus",
]
