"""Refusals of this app, and the one word that a worker hears when its claim is gone."""

from __future__ import annotations

from agents.errors import Refusal


class Superseded(BaseException):
    """The claim no longer holds: another worker has the execution, or it has ended.

    No Exception, so that agent code which catches whatever goes wrong lets it pass, and does not
    go round for ever on a worker that has nothing to write to any more.
    """


class ExecutionState(Refusal):
    """The execution's state does not allow this."""

    code = "EXECUTION_STATE"


class JobState(Refusal):
    """The job's state does not allow this."""

    code = "JOB_STATE"


class ToolCallNotFound(Refusal):
    """There is no such tool call in this execution."""

    code = "NOT_FOUND"
    status_code = 404


class WholeOutputNotFound(Refusal):
    """Nothing more is kept of this call's output than its document shows."""

    code = "WHOLE_OUTPUT_NOT_FOUND"
    status_code = 404


class ArgumentsChanged(Refusal):
    """The call has other arguments than those that were seen; look again."""

    code = "ARGUMENTS_CHANGED"


class JobKindUnknown(Refusal):
    """No job is registered under this name."""

    code = "JOB_KIND_UNKNOWN"
    status_code = 422


class JobInvalid(Refusal):
    """A job cannot be scheduled with this key, input or term."""

    code = "JOB_INVALID"
    status_code = 422


class JobMismatch(Refusal):
    """That key stands for a job of another kind, or with another input."""

    code = "IDEMPOTENCY_MISMATCH"
    status_code = 422


class NotCancellable(Refusal):
    """Its kind is not to be cancelled while it runs; a hard cancel ends it all the same."""

    code = "NOT_CANCELLABLE"


class CheckpointNotFound(Refusal):
    """The execution has no checkpoint of this number."""

    code = "CHECKPOINT_NOT_FOUND"
    status_code = 404


class ExecutionNotFound(Refusal):
    """There is no such execution."""

    code = "NOT_FOUND"
    status_code = 404


class QueueFull(Refusal):
    """The board's queue is full; try again when work has ended."""

    code = "QUEUE_FULL"
    status_code = 429
    retryable = True


class AgentRunsItself(Refusal):
    """An agent of this kind fetches its work itself; assign it a task, or nudge it."""

    code = "AGENT_RUNS_ITSELF"


class LimitExceeded(Refusal):
    """No slot is free, and the caller asked not to queue."""

    code = "CONCURRENCY_LIMIT_EXCEEDED"
    status_code = 429
    retryable = True


class TaskBusy(Refusal):
    """The task has a live execution."""

    code = "AGENT_ALREADY_RUNNING"


class WorkGone(Refusal):
    """The board or task has just been deleted."""

    code = "NOT_FOUND"
    status_code = 404


class ActionUnknown(Refusal):
    """The agent has no such action."""

    code = "ACTION_UNKNOWN"
    status_code = 422


class KindUnknown(Refusal):
    """This installation has not the kind of the agent any more."""

    code = "KIND_UNKNOWN"
    status_code = 422


class AgentNotRunning(Refusal):
    """The agent has nothing at work that this could be done to."""

    code = "AGENT_NOT_RUNNING"
    status_code = 400


class NoAvailableTask(Refusal):
    """No task is ready for the agent: in the inbox of its board, its own or nobody's, unblocked."""

    code = "AGENT_NO_AVAILABLE_TASK"
    status_code = 400


class NothingToDo(Refusal):
    """Name an action or give a prompt."""

    code = "ACTION_OR_PROMPT_REQUIRED"
    status_code = 400


class BadTimeout(Refusal):
    """The timeout is a number of seconds from 1 to 300."""

    code = "TIMEOUT_INVALID"
    status_code = 400


class WorkerUnavailable(Refusal):
    """No live worker serves this queue."""

    code = "WORKER_UNAVAILABLE"
    status_code = 503
    retryable = True


class RequestTimeout(Refusal):
    """The execution did not end in time; it goes on."""

    code = "REQUEST_TIMEOUT"
    status_code = 408
    retryable = True


class BoardPaused(Refusal):
    """The board is paused; resume it first."""

    code = "BOARD_PAUSED"


class AgentPaused(Refusal):
    """The agent is paused; resume it first."""

    code = "AGENT_PAUSED"


class SignalMismatch(Refusal):
    """That key was used for a signal with another name or value."""

    code = "IDEMPOTENCY_MISMATCH"
    status_code = 422


class SignalsFull(Refusal):
    """Too many signals wait for the execution; it has to consume some first."""

    code = "SIGNALS_FULL"
    status_code = 429
    retryable = True


class TaskNotInReview(Refusal):
    """The task of this work is not in review."""

    code = "TASK_NOT_IN_REVIEW"


class MergeUnderWay(Refusal):
    """The work is being merged at this moment."""

    code = "MERGE_UNDER_WAY"


class WorktreeMergeConflict(Refusal):
    """The branch and the work have changed the same files."""

    code = "WORKTREE_MERGE_CONFLICT"


class TargetCheckedOut(Refusal):
    """The branch is checked out where something is changed."""

    code = "TARGET_CHECKED_OUT"


class NotAGitRepository(Refusal):
    """The board's repository is none, or the worker's host does not have it."""

    code = "NOT_A_GIT_REPOSITORY"
    status_code = 400


class TreeMissing(Refusal):
    """The kept files are in a repository of another host."""

    code = "WORKTREE_TREE_MISSING"


class MergeFailed(Refusal):
    """Git refused the merge."""

    code = "WORKTREE_ERROR"
