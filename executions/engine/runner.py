"""One run of a worker, read from top to bottom: claim, resume, turns, leave.

The loop of the runtime decides what happens next; the runner carries it out, commits it under the
claim, and sends back what came of it. No database connection is held while a model or tool works.
"""

from __future__ import annotations

import logging
import time
from concurrent.futures import CancelledError, wait
from dataclasses import asdict
from typing import Any
from uuid import UUID

import psycopg
from django.db import InterfaceError, OperationalError, connection

from agents.runtime import portal
from agents.runtime.facts import (
    AskModel,
    Fact,
    Finished,
    Inject,
    LimitReached,
    Message,
    Outcome,
    Reply,
    Role,
    RunTool,
    ToolRequest,
    ToolResult,
    TurnEnded,
    Unfit,
    Usage,
)
from agents.runtime.limits import Spent
from agents.runtime.llm import ModelBusy, ModelError, open_model
from agents.runtime.loop import TURN_WARNING, Answer, Transcript, react
from agents.runtime.spec import RunSpec
from agents.runtime.tools.catalogue import TOOLS
from agents.runtime.tools.registry import Toolbox
from executions import limits, states, transcripts
from executions.engine import claim as claims
from executions.engine import dispatch, ends
from executions.engine.claim import Batch, Boundary, Claim
from executions.engine.control import Control, Interrupted, Reason
from executions.engine.files import Files
from executions.engine.tokens import Tokens
from executions.engine.toolcalls import Ledger, prepared, unknown
from executions.errors import Superseded
from executions.models import CallStatus, EntryType, PauseReason
from executions.stream import publish
from executions.worktrees import RepositoryBusy, WorktreeError

logger = logging.getLogger(__name__)

# A model that answers within it (a scripted one) costs no change of database connections.
AT_ONCE_SECONDS = 0.002
# Who holds a repository's lock for so long that a run gave up clones it, or stands still.
REPOSITORY_RETRY_SECONDS = 10.0


class Left(Exception):
    """The run has left its worker; nothing more may be written."""


class Run:
    """One claimed execution and what its worker knows of it."""

    def __init__(self, claim: Claim, control: Control) -> None:
        row = claim.execution
        self.claim, self.control = claim, control
        self.spec = RunSpec.from_json(row.spec)
        self.limits = limits.limits_of(row)
        self.usage: dict[str, Any] = row.usage or {}
        self.toolbox = Toolbox(TOOLS.values(), self.spec.tools)
        self.ledger = Ledger(row)
        messages, self.line = transcripts.load(row)
        self.transcript = Transcript(messages, turn=row.turn)
        self.files = Files(claim, control, self.spec)
        self.batch = Batch()
        self.since = time.monotonic()
        self.asked: Boundary | None = None

    def drive(self) -> None:
        """Carry the execution on until it leaves this worker, whatever happens."""
        try:
            self._carry_on()
        except Left:
            return
        except Superseded:
            # Of the last write too: a cancel may have come while a model call was failing.
            self._end_if_cancelling()

    def _carry_on(self) -> None:
        try:
            self._turns()
        except Interrupted as stop:
            self._stopped(stop.reason)
        except ModelBusy as busy:
            ends.sleep(
                self.claim, self._spent_batch(), seconds=busy.retry_after, reason="model_busy"
            )
        except RepositoryBusy:
            ends.sleep(
                self.claim,
                self._spent_batch(),
                seconds=REPOSITORY_RETRY_SECONDS,
                reason="repository_busy",
            )
        except (ModelError, WorktreeError) as error:
            ends.fail(self.claim, self._spent_batch(), code=error.code, message=str(error))

    def _turns(self) -> None:
        loop = react(self.spec, self.transcript, self.toolbox.descriptions(), self._spent())
        answer: Answer = None
        self._look()
        try:
            while True:
                answer = self._carry_out(loop.send(answer))
        except StopIteration:
            raise Left from None

    def _carry_out(self, fact: Fact) -> Answer:
        match fact:
            case AskModel():
                return self._ask(fact)
            case RunTool():
                return self._run_tool(fact)
            case TurnEnded():
                self._look()
                return self._spent()
            case Inject(text, reason):
                self._inject(text, reason)
            case LimitReached():
                self.files.leave_clean()
                ends.stop_at_limit(self.claim, self._spent_batch(), self._spent())
            case Finished(output):
                diff = self.files.finish()
                ends.complete(self.claim, self._spent_batch(), output=output, diff=diff)
            case Unfit(problem):
                ends.fail(self.claim, self._spent_batch(), code="OUTPUT_INVALID", message=problem)
        return None

    # --- the model ------------------------------------------------------------------------------

    def _ask(self, fact: AskModel) -> Reply:
        """Ask, and commit the reply with its calls as prepared before any of them starts.

        A reply without calls is kept with what it leads to (an end, or a note), in one commit.
        """
        self.control.check()
        reply = self._reply_to(fact)
        self._count(reply)
        calls = [prepared(r, n) for n, r in enumerate(reply.tool_requests, start=1)]
        self._append(reply.as_message(), usage=asdict(reply.usage))
        self.batch.turn = fact.request.turn
        self.batch.calls = calls
        self.batch.event("execution.turn", turn=fact.request.turn, text=reply.text[:2000])
        if calls:
            self.ledger.add(calls)
            self._commit()
        return reply

    def _reply_to(self, fact: AskModel) -> Reply:
        model = open_model(self.spec.model, self.spec.model_settings)
        with Tokens(self.claim.id, fact.request.turn) as tokens:
            call = portal.submit(model.reply(fact.request, tokens.on_delta))
            self.control.attach(call)
            call.add_done_callback(tokens.end)
            if wait([call], AT_ONCE_SECONDS).not_done:
                connection.close()
            try:
                tokens.publish_until_end()
                return call.result()
            except CancelledError:
                self.control.check()
                raise
            finally:
                self.control.detach()

    def _count(self, reply: Reply) -> None:
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

    # --- tools ----------------------------------------------------------------------------------

    def _run_tool(self, fact: RunTool) -> ToolResult:
        self._look_between_calls()
        result, tree = self._result_of(fact.request)
        self._append(
            Message(Role.TOOL_RESULT, result.output, call_id=result.call_id, tool_name=result.name)
        )
        self.batch.settled = (
            self.ledger.row_of(fact.request),
            CallStatus(result.outcome),
            result.output,
        )
        self.batch.tree = tree
        self.batch.event(
            _EVENTS.get(result.outcome, "tool.finished"),
            name=result.name,
            call_id=result.call_id,
            outcome=str(result.outcome),
        )
        if fact.last:
            self._end_turn()
        self._commit(while_cancelling=True)
        return result

    def _result_of(self, request: ToolRequest) -> tuple[ToolResult, str | None]:
        """What came of a call and the commit of the files after it, if it may have changed any."""
        tool = self.toolbox.tool(request.name)
        may_repeat = tool is not None and tool.repeatable
        if self.ledger.was_left_running(request) and not may_repeat:
            return unknown(request), None
        starts = tool is not None and self.toolbox.is_allowed(request.name)
        workspace = self.files.workspace_for(tool if starts else None)
        if starts:
            self.control.check()
            claims.start_call(
                self.claim, self.ledger.row_of(request), may_repeat=may_repeat, facts=_told(request)
            )
        connection.close()
        # The lease is looked at once more: a process may have stood still since the commit. What
        # else was asked meanwhile is for the tool, which sees `stop` and ends as interrupted.
        self.control.check_lease()
        result = self.toolbox.call(request, workspace)
        changes = tool is not None and tool.changes_files
        if not changes or result.outcome is Outcome.DENIED:
            return result, None
        self.control.check_lease()
        return result, self.files.keep(self.transcript.turn)

    def _end_turn(self) -> None:
        self.batch.is_boundary = True
        self.batch.event("execution.checkpoint", turn=self.transcript.turn)

    # --- commits and boundaries -----------------------------------------------------------------

    def _append(
        self,
        message: Message,
        *,
        type: EntryType | None = None,  # noqa: A002  The entry's own word for it.
        usage: dict[str, Any] | None = None,
    ) -> None:
        n = len(self.batch.entries) + 1
        self.batch.entries.append(self.line.entry(message, n=n, type=type, usage=usage))

    def _inject(self, text: str, reason: str) -> None:
        self._append(Message(Role.USER, text), type=EntryType.INJECTION)
        if reason == TURN_WARNING:
            self.batch.event(
                "agent.turn_warning", turn=self.transcript.turn, max_turns=self.limits.turns
            )

    def _commit(self, *, while_cancelling: bool = False) -> None:
        sent_at = time.monotonic()
        self.asked = claims.commit(
            self.claim,
            self._spent_batch(),
            while_cancelling=while_cancelling,
        )
        self.control.renewed(sent_at)
        self.limits = self.asked.limits
        self.batch = Batch()
        publish(self.claim.id, self.asked.event_seq)

    def _spent_batch(self) -> Batch:
        self._spent()
        self.batch.usage = self.usage
        return self.batch

    def _spent(self) -> Spent:
        now = time.monotonic()
        self.usage["seconds"] = round(self.usage.get("seconds", 0.0) + now - self.since, 3)
        self.since = now
        return limits.spent(self.transcript.turn, self.usage, self.limits)

    def _look(self) -> None:
        """At a boundary: leave when a cancel, a pause or a shutdown asks for it."""
        self._look_between_calls()
        if reason := self._why_pause():
            self.files.leave_clean()
            ends.pause(self.claim, self._spent_batch(), reason)
            raise Left
        if self.control.is_draining:
            self.files.leave_clean()
            ends.give_up(self.claim, self._spent_batch())
            raise Left
        deadline = self.claim.execution.deadline_at
        if deadline is not None and deadline < states.clock():
            ends.fail(
                self.claim, self._spent_batch(), code="TIMED_OUT", message="Its deadline passed."
            )
            raise Left

    def _why_pause(self) -> PauseReason | None:
        """Who wants it to stand still: a person's word holds longer than the agent's pause."""
        if self.control.is_pause_requested or (self.asked and self.asked.is_pause_requested):
            return PauseReason.OPERATOR
        return PauseReason.AGENT if self.control.is_agent_paused else None

    def _look_between_calls(self) -> None:
        if self.control.is_cancelling or (self.asked and self.asked.is_cancelling):
            ends.cancelled(self.claim)
            raise Left
        self.control.check()

    def _stopped(self, reason: Reason) -> None:
        """The model call or tool was ended from outside."""
        if reason is Reason.CANCEL:
            self._end_if_cancelling()
        elif reason is Reason.DRAIN:
            self.files.leave_clean()
            ends.give_up(self.claim, self._without_unfinished())
        else:
            logger.warning("The lease of %s is lost; its run stops here.", self.claim.id)

    def _without_unfinished(self) -> Batch:
        """What may still be written after a model call was abandoned: what it cost, no entry."""
        return Batch(usage=self._spent_batch().usage)

    def _end_if_cancelling(self) -> None:
        """The claim is gone, or the run is to be cancelled: end it in the second case."""
        try:
            ends.cancelled(self.claim)
        except Superseded:
            logger.info("The claim of %s is gone; its run stops here.", self.claim.id)


def _told(request: ToolRequest) -> dict[str, str]:
    """What events say of a call."""
    return {"name": request.name, "call_id": request.call_id}


_EVENTS = {Outcome.DENIED: "tool.denied", Outcome.INTERRUPTED: "tool.interrupted"}


def advance(execution_id: UUID, epoch: int, worker: Any) -> None:
    """Carry an execution on, if this message still speaks of it; `worker` is the process's."""
    if worker.keeper.is_draining:
        dispatch.send_back(execution_id, epoch)
        return
    taken_at = time.monotonic()
    claim = claims.take(execution_id, epoch, worker.name)
    if claim is None:
        logger.debug("A stale message for %s at epoch %s.", execution_id, epoch)
        return
    publish(claim.id, claim.execution.event_seq)
    with worker.keeper.watch(claim, taken_at=taken_at) as control:
        try:
            Run(claim, control).drive()
        except Exception as error:
            if _is_database_away(error):
                logger.warning(
                    "The database went away under %s; the lease gives it back: %s", claim.id, error
                )
                return
            logger.exception("The run of %s failed in the engine.", claim.id)
            _fail(claim, error)


def _is_database_away(error: Exception) -> bool:
    """Whether this is no fault of the run: the next claim goes on from what was committed."""
    if isinstance(error.__cause__, psycopg.errors.IdleInTransactionSessionTimeout):
        return True  # This process stood still in the middle of a transaction.
    return isinstance(error, OperationalError | InterfaceError | psycopg.OperationalError)


def _fail(claim: Claim, error: Exception) -> None:
    """End a run on a mistake of ours or of its data, rather than let it come back for ever."""
    try:
        ends.fail(
            claim,
            Batch(),
            code="AGENT_ERROR",
            message=f"{type(error).__name__}: {error}"[:2000],
        )
    except Superseded:
        logger.info("The claim of %s is gone.", claim.id)
