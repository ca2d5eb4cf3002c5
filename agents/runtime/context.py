"""AgentContext: what the code of an agent can do, durably.

An agent kind's function is called from its top at every resume. Whatever it does to the world or
to its own execution goes through the context, under a key that its author gives: each effect
happens once per execution and key, and is given back when the code comes by again. The same key
with another input is a mistake, and raises `KeyReused`. A wait raises `Waiting`, which ends the
call without an answer; when what was waited for has come about, the function is called again, and
the same wait then returns at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from agents.runtime.facts import (
    Message,
    ModelRequest,
    Reply,
    Role,
    ToolDescription,
    TooLong,
    ToolRequest,
    ToolResult,
)
from agents.runtime.limits import Spent
from agents.runtime.spec import RunSpec
from agents.runtime.transcript import Transcript

T = TypeVar("T")


class Waiting(BaseException):
    """The run stops here until what it waits for has come about.

    No Exception, so that code which catches whatever goes wrong lets it pass.
    """


class Cancelled(BaseException):
    """The execution is being cancelled; raised by `check_cancelled`."""


class KeyReused(Exception):
    """The key stands for another effect, or for the same with another input."""


class StepUnknown(Exception):
    """A step was under way when its worker was lost, and it is not known what came of it."""


class JobFailed(Exception):
    """A job that was joined failed or was cancelled; `result` says how."""

    def __init__(self, result: JobResult) -> None:
        super().__init__(f"Job {result.key!r} {result.status}: {result.failure_message}")
        self.result = result


class ChildFailed(Exception):
    """A child that was joined failed or was cancelled; `result` says how."""

    def __init__(self, result: ChildResult) -> None:
        super().__init__(f"Child {result.key!r} {result.status}: {result.failure_message}")
        self.result = result


class Rejected(Exception):
    """What was asked of Signalbox was refused: `code` says why, as the API does."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


@dataclass(frozen=True, slots=True)
class Received:
    """A signal that was consumed; `number` counts the signals of the execution."""

    name: str
    value: Any
    number: int
    sender: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """How an approval was decided: `approved`, `rejected` or `withdrawn`."""

    status: str
    reason: str = ""
    by: str = ""

    @property
    def is_approved(self) -> bool:
        return self.status == "approved"


@dataclass(frozen=True, slots=True)
class JobHandle:
    """A job that was scheduled."""

    id: UUID
    key: str


@dataclass(frozen=True, slots=True)
class JobResult:
    """How a job ended: `completed`, `failed` or `cancelled`; or where it is, if it has not."""

    id: UUID
    key: str
    status: str
    output: Any = None
    failure_code: str = ""
    failure_message: str = ""

    @property
    def is_ok(self) -> bool:
        return self.status == "completed"


@dataclass(frozen=True, slots=True)
class ChildHandle:
    """A child execution that was spawned."""

    id: UUID
    key: str


@dataclass(frozen=True, slots=True)
class ChildResult(JobResult):
    """How a child ended, in the words of executions."""


@dataclass(frozen=True, slots=True)
class Remaining:
    """What may still be used; None is no limit. Seconds are those of work, not of waiting."""

    turns: int | None = None
    tokens: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Spawn:
    """What a child is to do; `agent` is an id or slug, and empty is the parent's own agent.

    It is on its parent's board, and costs one of that board's slots while it runs.
    """

    agent: str = ""
    prompt: str = ""
    action: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 3


class Conversation(Protocol):
    """The part of the context that loops of models and tools are written on."""

    @property
    def spec(self) -> RunSpec: ...

    @property
    def transcript(self) -> Transcript:
        """The conversation so far, which the loop adds to; it is stored as the loop goes."""

    @property
    def tools(self) -> Sequence[ToolDescription]: ...

    def spent(self) -> Spent: ...

    def ask(self, request: ModelRequest, *, may_be_shorter: bool = False) -> Reply | TooLong | None:
        """Ask the model, and keep its reply before any of its calls starts.

        None where somebody has interrupted it with a message: the transcript has it, so that the
        request has to be made anew. `TooLong` where the model refuses the length of what
        `may_be_shorter`.
        """

    def compact(self, request: ModelRequest, kept: int) -> Reply | None:
        """Have the model sum up what lies before the `kept` newest messages, and keep the summary.

        None where somebody has interrupted it. The entries that are summed up stay.
        """

    def call(self, request: ToolRequest, *, is_last: bool) -> ToolResult:
        """Carry a tool call out under the ledger; the turn ends with its last one."""

    def note(self, text: str) -> None:
        """Keep a message of Signalbox's own to the model."""

    def hear_answers(self) -> bool:
        """Wait for people to answer what the run has asked them, before it ends.

        Whether they have said something, which the transcript has then; False where nothing is
        open. It does not return while there is no answer.
        """

    def boundary(self) -> Spent:
        """Look what is asked of the run: cancel, pause, messages, shutdown, deadline.

        What comes of it for the model is added to the transcript: messages, and the warning of a
        limit that is nearly used.
        """

    def stop_at_limit(self) -> None:
        """Pause until a person gives more, or takes the work as it is. It does not return."""


class AgentContext(Conversation, Protocol):
    """What a kind's function is given."""

    @property
    def execution_id(self) -> UUID: ...

    @property
    def agent_id(self) -> UUID | None: ...

    @property
    def organization_id(self) -> UUID: ...

    @property
    def parent_id(self) -> UUID | None: ...

    @property
    def input(self) -> Any:
        """The execution's input: the values that it was started `with`."""

    @property
    def prompt(self) -> str: ...

    # --- the conversation

    @property
    def messages(self) -> Sequence[Message]: ...

    def reload_messages(self) -> Sequence[Message]:
        """Read the conversation again, with what others appended meanwhile."""

    def append_entry(self, key: str, text: str, *, role: Role = Role.ASSISTANT) -> None: ...

    def append_tool_call(self, key: str, name: str, arguments: Mapping[str, Any]) -> str:
        """Append a call that the agent's own code makes; returns its call id."""

    def append_tool_result(self, key: str, call_id: str, output: str) -> None: ...

    # --- state and steps

    @property
    def state(self) -> Mapping[str, Any]:
        """The state of the latest checkpoint."""

    @property
    def checkpoint_sequence(self) -> int: ...

    def checkpoint(self, key: str, state: Mapping[str, Any]) -> int:
        """Keep the state; an execution can be forked from here. Returns its sequence."""

    def step(self, key: str, work: Callable[[], T], *, repeatable: bool = False) -> T:
        """Do some work once and keep its result, which is JSON.

        One that was under way when its worker was lost raises `StepUnknown` when the code comes
        by again, unless it is `repeatable`: then it is done again. What it raises is not kept.
        """

    # --- signals, approvals, time

    def has_signal(self, name: str) -> bool:
        """Whether a signal of that name or pattern is there; it is not consumed."""

    def wait_for_signal(
        self, key: str, name: str, *, timeout: float | None = None
    ) -> Received | None:
        """The next signal of that name or pattern (`*` is anything); None after the timeout."""

    def drain_signals(self, key: str, name: str) -> list[Received]:
        """Every signal of that name or pattern that is there, consumed."""

    def ask_approval(
        self,
        key: str,
        *,
        action_type: str,
        reason: str,
        payload: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Decision | None:
        """Ask a person of the board and wait for the decision; None after the timeout."""

    def sleep(self, key: str, seconds: float) -> None: ...

    def sleep_until(self, key: str, when: datetime) -> None: ...

    # --- jobs

    def schedule_job(self, key: str, kind: str, given: Any = None, **options: Any) -> JobHandle: ...

    def join_all(
        self, key: str, jobs: Sequence[JobHandle], *, timeout: float | None = None
    ) -> list[Any]:
        """The outputs of all, in order. Raises `JobFailed`, and TimeoutError after the timeout."""

    def join_all_settled(
        self, key: str, jobs: Sequence[JobHandle], *, timeout: float | None = None
    ) -> list[JobResult]:
        """How each ended, in order; after the timeout, where those are that have not."""

    def select_ok(
        self,
        key: str,
        jobs: Sequence[JobHandle],
        *,
        cancel_losers: bool = True,
        timeout: float | None = None,
    ) -> JobResult:
        """The first that completes. Raises `JobFailed` where none did."""

    def cancel_job(self, key: str, job: JobHandle) -> None: ...

    # --- children

    def spawn(self, key: str, what: Spawn) -> ChildHandle: ...

    def signal_child(self, key: str, child: ChildHandle, name: str, value: Any = None) -> None: ...

    def signal_parent(self, key: str, name: str, value: Any = None) -> None: ...

    def join_children(
        self, key: str, children: Sequence[ChildHandle], *, timeout: float | None = None
    ) -> list[ChildResult]:
        """How each ended, in order; after the timeout, where those are that have not."""

    def cancel_child(self, key: str, child: ChildHandle, *, reason: str = "") -> None: ...

    # --- what watchers see, and nobody keeps

    def stream_token(self, text: str) -> None: ...

    def stream_progress(self, text: str, *, fraction: float | None = None) -> None: ...

    def stream_data(self, value: Any) -> None: ...

    def stream_error(self, text: str) -> None: ...

    # --- limits and cancelling

    @property
    def is_cancelled(self) -> bool: ...

    def check_cancelled(self) -> None:
        """Raises `Cancelled` where the execution is being cancelled."""

    def remaining_budget(self) -> Remaining: ...
