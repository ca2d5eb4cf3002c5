"""A context in memory, so that an agent is tested without a server.

    context = ContextDouble({"text": "hello"})
    assert carry_on("example.echo", context) == {"text": "hello"}

It keeps the contract of the real one: effects happen once per key, the same key with another input
raises `KeyReused`, and a wait raises `Waiting` until what it waits for is there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID, uuid4

from agents.runtime import jobs, kinds
from agents.runtime.context import (
    Cancelled,
    ChildHandle,
    ChildResult,
    Decision,
    JobFailed,
    JobHandle,
    JobResult,
    KeyReused,
    Received,
    Remaining,
    Spawn,
    Waiting,
)
from agents.runtime.facts import (
    Message,
    ModelRequest,
    Reply,
    Role,
    ToolDescription,
    ToolRequest,
    ToolResult,
    Usage,
)
from agents.runtime.limits import Limits, Spent, warnings
from agents.runtime.spec import RunSpec
from agents.runtime.transcript import Transcript

T = TypeVar("T")


def carry_on(kind: str, context: ContextDouble) -> Any:
    """Call the newest function of a kind from its top, as a worker would; its output as JSON.

    Raises `Waiting` where it waits: give the context what it waits for, and carry on.
    """
    found = kinds.newest(kind)
    assert found is not None, f"no kind is registered as {kind!r}"
    return found.write(found.call(context, context.input))


@dataclass
class JobDouble:
    """The only try of a job in memory."""

    id: UUID
    key: str
    execution_id: UUID
    attempt: int = 1
    told: list[str] = field(default_factory=list)

    def is_cancelled(self) -> bool:
        return False

    def check_cancelled(self) -> None:
        """A job in memory is never cancelled."""

    def progress(self, text: str) -> None:
        self.told.append(text)


@dataclass
class ContextDouble:
    """An execution in memory. What is given is what the world answers; what comes of it is read.

    `replies` are the model's, in order; `toolbox` are functions by tool name; `decisions` answer
    approvals in order; `children` answers what a child is asked, or fails it by raising. Jobs are
    those registered, and are run when they are joined.
    """

    input: Any = field(default_factory=dict)
    prompt: str = ""
    spec: RunSpec = field(default_factory=lambda: RunSpec(model="scripted:play"))
    replies: list[Reply] = field(default_factory=list)
    toolbox: Mapping[str, Callable[..., str]] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)
    children: Callable[[Spawn], Any] = lambda spawn: None
    state: Mapping[str, Any] = field(default_factory=dict)
    parent_id: UUID | None = None
    agent_id: UUID | None = None
    is_cancelled: bool = False

    transcript: Transcript = field(default_factory=lambda: Transcript([], turn=0))
    sent: list[tuple[UUID | None, str, Any]] = field(default_factory=list)
    streamed: list[tuple[str, Any]] = field(default_factory=list)
    checkpoints: list[Mapping[str, Any]] = field(default_factory=list)
    cancelled: list[UUID] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    execution_id: UUID = field(default_factory=uuid4)
    organization_id: UUID = field(default_factory=uuid4)
    usage: Usage = field(default_factory=Usage)

    def __post_init__(self) -> None:
        self._done: dict[str, tuple[str, Any]] = {}
        self._signals: list[Received] = []
        self._count = 0
        self._due: dict[str, datetime] = {}
        self._jobs: dict[UUID, tuple[str, Any]] = {}
        self._spawned: dict[UUID, Spawn] = {}
        self._looked: Mapping[str, float] = {}

    # --- what a test does to it

    def send(self, name: str, value: Any = None) -> None:
        """Send the execution a signal."""
        self._count += 1
        self._signals.append(Received(name, value, self._count))

    def pass_time(self, seconds: float) -> None:
        """Let time go by: timers and timeouts see it."""
        self.now += timedelta(seconds=seconds)

    # --- once per key

    def _once(self, key: str, asked: Any, act: Callable[[], Any]) -> Any:
        said = json.dumps(asked, sort_keys=True, default=str)
        if key in self._done:
            before, result = self._done[key]
            if before != said:
                raise KeyReused(f"The key {key!r} stands for something else already.")
            return result
        result = act()
        self._done[key] = (said, result)
        return result

    def _wait(
        self, key: str, asked: Any, look: Callable[[], Any], timeout: float | None, late: Any = None
    ) -> Any:
        def act() -> Any:
            try:
                return look()
            except LookupError:
                if timeout is None:
                    raise Waiting from None
                due = self._due.setdefault(key, self.now + timedelta(seconds=timeout))
                if self.now < due:
                    raise Waiting from None
                return late

        return self._once(key, [asked, timeout], act)

    # --- the conversation

    @property
    def messages(self) -> Sequence[Message]:
        return tuple(self.transcript.messages)

    def reload_messages(self) -> Sequence[Message]:
        return self.messages

    def append_entry(self, key: str, text: str, *, role: Role = Role.ASSISTANT) -> None:
        self._once(key, [text, role], lambda: self.transcript.add(Message(role, text)))

    def append_tool_call(self, key: str, name: str, arguments: Mapping[str, Any]) -> str:
        def act() -> str:
            request = ToolRequest(f"call_{key}", name, dict(arguments))
            self.transcript.add(Message(Role.ASSISTANT, "", tool_requests=(request,)))
            return request.call_id

        return str(self._once(key, [name, dict(arguments)], act))

    def append_tool_result(self, key: str, call_id: str, output: str) -> None:
        told = Message(Role.TOOL_RESULT, output, call_id=call_id)
        self._once(key, [call_id, output], lambda: self.transcript.add(told))

    @property
    def tools(self) -> Sequence[ToolDescription]:
        return [ToolDescription(name, "", {"type": "object"}) for name in self.toolbox]

    def spent(self) -> Spent:
        return Spent(self.transcript.turn, self.usage, 0.0, Limits(self.spec.max_turns))

    def ask(self, request: ModelRequest, *, may_be_shorter: bool = False) -> Reply | None:
        reply = self.replies.pop(0)
        self.usage += reply.usage
        return reply

    def compact(self, request: ModelRequest, kept: int) -> Reply | None:
        return self.ask(request)

    def call(self, request: ToolRequest, *, is_last: bool) -> ToolResult:
        from agents.runtime.facts import Outcome  # noqa: PLC0415

        output = self.toolbox[request.name](**request.arguments)
        return ToolResult(request.call_id, request.name, Outcome.COMPLETE, output)

    def note(self, text: str) -> None:
        self.streamed.append(("note", text))

    def hear_answers(self) -> bool:
        return False  # In memory nobody is asked.

    def boundary(self) -> Spent:
        self.check_cancelled()
        spent = self.spent()
        for text in warnings(self._looked, spent).values():
            self.transcript.add(Message(Role.USER, text))
            self.note(text)
        self._looked = spent.counts
        return spent

    def stop_at_limit(self) -> None:
        raise Waiting

    # --- state and steps

    @property
    def checkpoint_sequence(self) -> int:
        return len(self.checkpoints)

    def checkpoint(self, key: str, state: Mapping[str, Any]) -> int:
        def act() -> int:
            self.state = dict(state)
            self.checkpoints.append(self.state)
            return len(self.checkpoints)

        return int(self._once(key, dict(state), act))

    def step(self, key: str, work: Callable[[], T], *, repeatable: bool = False) -> T:
        done: T = self._once(key, "step", work)
        return done

    # --- signals, approvals, time

    def _matching(self, name: str) -> list[Received]:
        pattern = re.compile(".*".join(map(re.escape, name.split("*"))))
        return [signal for signal in self._signals if pattern.fullmatch(signal.name)]

    def _take(self, name: str) -> Received:
        for signal in self._matching(name):
            self._signals.remove(signal)
            return signal
        raise LookupError(name)

    def has_signal(self, name: str) -> bool:
        return bool(self._matching(name))

    def wait_for_signal(
        self, key: str, name: str, *, timeout: float | None = None
    ) -> Received | None:
        found: Received | None = self._wait(key, name, lambda: self._take(name), timeout)
        return found

    def drain_signals(self, key: str, name: str) -> list[Received]:
        def act() -> list[Received]:
            return [self._take(signal.name) for signal in self._matching(name)]

        return list(self._once(key, name, act))

    def ask_approval(
        self,
        key: str,
        *,
        action_type: str,
        reason: str,
        payload: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Decision | None:
        asked = [action_type, reason, payload]
        found: Decision | None = self._wait(key, asked, lambda: self.decisions.pop(0), timeout)
        return found

    def sleep(self, key: str, seconds: float) -> None:
        self._wait(key, seconds, _nothing, seconds)

    def sleep_until(self, key: str, when: datetime) -> None:
        self._wait(key, when, lambda: None if self.now >= when else _nothing(), None)

    # --- jobs

    def schedule_job(self, key: str, kind: str, given: Any = None, **options: Any) -> JobHandle:
        def act() -> JobHandle:
            job = JobHandle(uuid4(), key)
            self._jobs[job.id] = (kind, given)
            return job

        handle: JobHandle = self._once(key, [kind, given, options], act)
        return handle

    def _result(self, job: JobHandle) -> JobResult:
        kind, given = self._jobs[job.id]
        try:
            output = jobs.find(kind).call(given, JobDouble(job.id, job.key, self.execution_id))
        except Exception as error:
            return JobResult(job.id, job.key, "failed", None, "JOB_ERROR", str(error))
        return JobResult(job.id, job.key, "completed", output)

    def join_all(
        self, key: str, jobs: Sequence[JobHandle], *, timeout: float | None = None
    ) -> list[Any]:
        results = self.join_all_settled(key, jobs, timeout=timeout)
        for result in results:
            if not result.is_ok:
                raise JobFailed(result)
        return [result.output for result in results]

    def join_all_settled(
        self, key: str, jobs: Sequence[JobHandle], *, timeout: float | None = None
    ) -> list[JobResult]:
        return list(self._once(key, jobs, lambda: [self._result(job) for job in jobs]))

    def select_ok(
        self,
        key: str,
        jobs: Sequence[JobHandle],
        *,
        cancel_losers: bool = True,
        timeout: float | None = None,
    ) -> JobResult:
        results = self.join_all_settled(key, jobs)
        won = next((result for result in results if result.is_ok), None)
        if won is None:
            raise JobFailed(results[-1])
        return won

    def cancel_job(self, key: str, job: JobHandle) -> None:
        self._once(key, job, lambda: self.cancelled.append(job.id))

    # --- children

    def spawn(self, key: str, what: Spawn) -> ChildHandle:
        def act() -> ChildHandle:
            child = ChildHandle(uuid4(), key)
            self._spawned[child.id] = what
            return child

        handle: ChildHandle = self._once(key, what, act)
        return handle

    def signal_child(self, key: str, child: ChildHandle, name: str, value: Any = None) -> None:
        self._once(key, [child, name, value], lambda: self.sent.append((child.id, name, value)))

    def signal_parent(self, key: str, name: str, value: Any = None) -> None:
        told = (self.parent_id, name, value)
        self._once(key, [name, value], lambda: self.sent.append(told))

    def join_children(
        self, key: str, children: Sequence[ChildHandle], *, timeout: float | None = None
    ) -> list[ChildResult]:
        return list(self._once(key, children, lambda: [self._ended(child) for child in children]))

    def _ended(self, child: ChildHandle) -> ChildResult:
        try:
            output = self.children(self._spawned[child.id])
        except Exception as error:
            return ChildResult(child.id, child.key, "failed", None, "AGENT_ERROR", str(error))
        return ChildResult(child.id, child.key, "completed", output)

    def cancel_child(self, key: str, child: ChildHandle, *, reason: str = "") -> None:
        self._once(key, child, lambda: self.cancelled.append(child.id))

    # --- what watchers see, limits, cancelling

    def stream_token(self, text: str) -> None:
        self.streamed.append(("token", text))

    def stream_progress(self, text: str, *, fraction: float | None = None) -> None:
        self.streamed.append(("progress", text))

    def stream_data(self, value: Any) -> None:
        self.streamed.append(("data", value))

    def stream_error(self, text: str) -> None:
        self.streamed.append(("error", text))

    def check_cancelled(self) -> None:
        if self.is_cancelled:
            raise Cancelled

    def remaining_budget(self) -> Remaining:
        return Remaining(turns=self.spec.max_turns - self.transcript.turn)


def _nothing() -> Any:
    raise LookupError
