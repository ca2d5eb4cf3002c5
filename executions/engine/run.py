"""One claimed execution and what its worker knows of it: commits, boundaries, and ways to leave.

The kinds of agents are carried on by `engine.context`, which builds on this; `engine.runner`
begins and ends a run.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property, partial
from typing import Any

from django.db import transaction

from agents.activity import Actor
from agents.clock import clock
from agents.models import ActorKind
from agents.runtime.facts import Message, Reply, Role, Usage
from agents.runtime.kinds import Kind
from agents.runtime.limits import Spent
from agents.runtime.redaction import Redactor
from agents.runtime.spec import RunSpec
from agents.runtime.transcript import Transcript
from executions import limits, signals, transcripts
from executions.engine import claim as claims
from executions.engine import ends, warnings
from executions.engine.claim import Batch, Boundary, Claim
from executions.engine.conditions import Wait
from executions.engine.control import Control
from executions.engine.files import Files
from executions.models import EntryType, PauseReason
from executions.said import MESSAGE, said, texts_of
from executions.stream import publish

# Messages that are taken at one boundary; the next takes more.
MESSAGES = 100


class Left(BaseException):
    """The run has left its worker; nothing more may be written.

    No Exception, so that agent code which catches whatever goes wrong lets it pass.
    """


class Run:
    """What is committed is `batch`, which everything that happens is added to."""

    def __init__(self, claim: Claim, control: Control, kind: Kind) -> None:
        row = claim.execution
        self.claim, self.control, self.kind = claim, control, kind
        control.is_steerable = kind.takes_messages
        # The keeper would say so a third of a lease from now, which is many turns too late.
        control.is_agent_paused |= claim.is_agent_paused
        self._spec = RunSpec.from_json(row.spec)
        self.limits = limits.limits_of(row)
        self.usage: dict[str, Any] = row.usage or {}
        self._mark = warnings.mark_of(self.usage)
        self.turn = row.turn
        self.files = Files(claim, control, self._spec)
        self.batch = Batch()
        self.since = time.monotonic()
        self.asked: Boundary | None = None

    @cached_property
    def redactor(self) -> Redactor:
        return self.claim.redactor

    @property
    def spec(self) -> RunSpec:
        return self._spec

    @property
    def actor(self) -> Actor:
        """The agent as the one who does what its run does; without an agent, the execution."""
        row = self.claim.execution
        return Actor(ActorKind.AGENT, row.agent_id or row.id, row.agent_name or row.kind)

    @property
    def transcript(self) -> Transcript:
        return self._conversation[0]

    @cached_property
    def _conversation(self) -> tuple[Transcript, transcripts.Line]:
        """The conversation, read when it is first needed, and the end of its line."""
        transcript, line = transcripts.load(self.claim.execution)
        transcript.turn = self.turn
        return transcript, line

    def reload(self) -> None:
        """Read the conversation again when it is next needed."""
        self.__dict__.pop("_conversation", None)

    # --- commits --------------------------------------------------------------------------------

    def append(
        self,
        message: Message,
        *,
        type: EntryType | None = None,  # noqa: A002  The entry's own word for it.
        usage: dict[str, Any] | None = None,
        noted: Mapping[str, Any] | None = None,
    ) -> None:
        """Add an entry to the batch; what is noted in its content besides, `transcripts` reads."""
        n = len(self.batch.entries) + 1
        line = self._conversation[1]
        row = line.entry(message, n=n, type=type, usage=usage)
        row["content"] |= noted or {}
        self.batch.entries.append(row)

    def commit(self, *, while_cancelling: bool = False) -> None:
        """Write the batch under the claim, and hear what has been asked meanwhile."""
        sent_at = time.monotonic()
        self.asked = claims.commit(
            self.claim,
            self.spent_batch(),
            while_cancelling=while_cancelling,
        )
        self.control.renewed(sent_at)
        self.limits = self.asked.limits
        self._begin_anew()
        transaction.on_commit(partial(publish, self.claim.id, self.asked.event_seq), robust=True)

    def _begin_anew(self) -> None:
        """The batch is written, and with it what the run was warned of."""
        self.batch, self._mark = Batch(), warnings.mark_of(self.usage)

    def cost(self) -> Batch:
        """What is kept of work that was abandoned: the usage up to now, and nothing that was said.

        So a warning that stands in the batch has not been given.
        """
        self.spent()
        return Batch(usage=warnings.marked(self.usage, self._mark))

    def spent_batch(self) -> Batch:
        """The batch, with the usage up to now."""
        self.spent()
        self.batch.usage = self.usage
        return self.batch

    def spent(self) -> Spent:
        """What the run has used up to now."""
        now = time.monotonic()
        self.usage["seconds"] = round(self.usage.get("seconds", 0.0) + now - self.since, 3)
        self.since = now
        return limits.spent(self.turn, self.usage, self.limits)

    def count(self, reply: Reply) -> None:
        """Add a reply to the usage of the execution, in all and by model."""
        rows: list[dict[str, Any]] = list(self.usage.get("by_model", []))
        mine = next((row for row in rows if row["model"] == reply.model), None)
        if mine is None:
            mine = {"model": reply.model, **asdict(Usage())}
            rows.append(mine)
        for row in (self.usage, mine):
            for name, value in asdict(reply.usage).items():
                row[name] = row.get(name, 0) + value
        self.usage["by_model"] = rows

    # --- boundaries -----------------------------------------------------------------------------

    def boundary(self) -> Spent:
        """Leave when a cancel, a pause or a shutdown asks for it; take what people have said."""
        self.look()
        if self.kind.takes_messages and self._signals_pending:
            self.take_messages()
        return self.spent()

    @property
    def _signals_pending(self) -> int:
        return self.asked.signals_pending if self.asked else self.claim.execution.signals_pending

    def look(self) -> None:
        """Leave when a cancel, a pause, a shutdown or the deadline asks for it."""
        self.look_between_calls()
        if reason := self._why_pause():
            self.files.leave_clean()
            ends.pause(self.claim, self.spent_batch(), reason)
            raise Left
        if self.control.is_draining:
            self.files.leave_clean()
            ends.give_up(self.claim, self.spent_batch())
            raise Left
        deadline = self.claim.execution.deadline_at
        if deadline is not None and deadline < clock():
            self.fail("TIMED_OUT", "Its deadline passed.")
        self.warn()

    def warn(self) -> None:
        """Say of each limit once that it is nearly used; who takes messages hears it as one."""
        for text in warnings.tell(self.batch, self.usage, self.spent()):
            if self.kind.takes_messages:
                note = Message(Role.USER, text)
                self.append(note, type=EntryType.INJECTION)
                self.transcript.add(note)

    def look_between_calls(self) -> None:
        """Leave when a cancel asks for it."""
        if self.control.is_cancelling or (self.asked and self.asked.is_cancelling):
            ends.cancelled(self.claim)
            raise Left
        self.control.check()

    def _why_pause(self) -> PauseReason | None:
        """Who wants it to stand still: a person's word holds longer than the agent's pause."""
        if self.control.is_pause_requested or (self.asked and self.asked.is_pause_requested):
            return PauseReason.OPERATOR
        return PauseReason.AGENT if self.control.is_agent_paused else None

    def take_messages(self) -> bool:
        """Put what people have said and answered into the conversation; whether there was any."""
        # Before the look: who speaks after it is heard by the next call.
        self.control.was_steered()
        with transaction.atomic():
            claims.hold(self.claim)
            found = list(said(self.claim.id)[:MESSAGES])
            if not found:
                return False
            for signal, text in zip(found, texts_of(found), strict=True):
                message = Message(Role.USER, self.redactor.text(text))
                self.append(message, type=EntryType.INJECTION)
                self.transcript.add(message)
                self.batch.event("signal.consumed", name=signal.name, number=signal.number)
            signals.mark_consumed(found, by_key=MESSAGE)
            self.batch.consumed = len(found)
            self.commit()
        return True

    def note(self, text: str) -> None:
        """Add a message of Signalbox's own to the model."""
        self.append(Message(Role.USER, text), type=EntryType.INJECTION)
        self.warn()

    # --- ways to leave --------------------------------------------------------------------------

    def fail(self, code: str, message: str) -> None:
        """End badly. It does not return."""
        ends.fail(self.claim, self.spent_batch(), code=code, message=message)
        raise Left

    def stop_at_limit(self) -> None:
        """Pause until a person gives more, or takes the work as it is. It does not return."""
        self.files.leave_clean()
        ends.stop_at_limit(self.claim, self.spent_batch(), self.spent())
        raise Left

    def suspend(self, wait: Wait) -> bool:
        """Leave until the wait is over; False where it is over already, and the run goes on."""
        self.files.leave_clean()
        if ends.suspend(self.claim, self.spent_batch(), wait):
            return True
        self.files.stay()
        self._begin_anew()
        return False

    def sleep_for(self, seconds: float, *, reason: str) -> None:
        """Leave until so much time has passed, without a worker or a permit."""
        ends.sleep(self.claim, self.spent_batch(), seconds=seconds, reason=reason)

    def complete(self, output: Any) -> bool:
        """End well; False where something has just been said that wants another turn."""
        diff = self.files.finish()
        # Who reworks it goes on in the directory.
        self.files.leave_clean()
        try:
            ends.complete(
                self.claim,
                self.spent_batch(),
                output=output,
                diff=diff,
                hears_messages=self.kind.takes_messages,
            )
        except ends.Spoken:
            self.files.stay()
            self.take_messages()
            return False
        return True
