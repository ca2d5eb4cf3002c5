"""A run's model and tools: each reply is kept before its calls start, each call in the ledger.

No database connection is held while a model or tool works.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError, wait
from dataclasses import asdict
from functools import cached_property

from django.db import connection

from agents.runtime import portal
from agents.runtime.facts import (
    Message,
    ModelRequest,
    Outcome,
    Reply,
    Role,
    ToolDescription,
    ToolRequest,
    ToolResult,
)
from agents.runtime.llm import open_model
from agents.runtime.tools.catalogue import TOOLS
from agents.runtime.tools.registry import Toolbox
from executions.engine import claim as claims
from executions.engine.run import Run
from executions.engine.tokens import Tokens
from executions.engine.toolcalls import Ledger, prepared, unknown
from executions.models import CallStatus

# A model that answers within it (a scripted one) costs no change of database connections.
AT_ONCE_SECONDS = 0.002


class Conversation(Run):
    """What loops of models and tools are written on."""

    @cached_property
    def toolbox(self) -> Toolbox:
        return Toolbox(TOOLS.values(), self.spec.tools)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.claim.execution)

    @property
    def tools(self) -> Sequence[ToolDescription]:
        return self.toolbox.descriptions()

    # --- the model ------------------------------------------------------------------------------

    def ask(self, request: ModelRequest) -> Reply | None:
        """Ask, and commit the reply with its calls as prepared before any of them starts.

        A reply without calls is kept with what it leads to (an end, or a note), in one commit.
        """
        self.control.check()
        reply = self._reply_to(request)
        if reply is None:
            return None
        self.turn = request.turn
        self.count(reply)
        calls = [prepared(r, n) for n, r in enumerate(reply.tool_requests, start=1)]
        self.append(reply.as_message(), usage=asdict(reply.usage))
        self.batch.turn = request.turn
        self.batch.calls = calls
        self.batch.event("execution.turn", turn=request.turn, text=reply.text[:2000])
        if calls:
            self.ledger.add(calls)
            self.commit()
        return reply

    def _reply_to(self, request: ModelRequest) -> Reply | None:
        model = open_model(self.spec.model, self.spec.model_settings)
        with Tokens(self.claim.id, request.turn) as tokens:
            call = portal.submit(model.reply(request, tokens.on_delta))
            self.control.attach(call)
            call.add_done_callback(tokens.end)
            if wait([call], AT_ONCE_SECONDS).not_done:
                connection.close()
            try:
                tokens.publish_until_end()
                return call.result()
            except CancelledError:
                self.control.check()
                if not self.control.was_steered():
                    raise
            finally:
                self.control.detach()
            tokens.start_anew()
        self.take_messages()
        return None

    # --- tools ----------------------------------------------------------------------------------

    def call(self, request: ToolRequest, *, is_last: bool) -> ToolResult:
        """Carry a tool call out under the ledger; the turn ends with its last one."""
        self.look_between_calls()
        result, tree = self._result_of(request)
        self.append(
            Message(Role.TOOL_RESULT, result.output, call_id=result.call_id, tool_name=result.name)
        )
        self.batch.settled = (
            self.ledger.row_of(request),
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
        if is_last:
            self.batch.is_boundary = True
            self.batch.event("execution.checkpoint", turn=self.turn)
        self.commit(while_cancelling=True)
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
        return result, self.files.keep(self.turn)


def _told(request: ToolRequest) -> dict[str, str]:
    """What events say of a call."""
    return {"name": request.name, "call_id": request.call_id}


_EVENTS = {Outcome.DENIED: "tool.denied", Outcome.INTERRUPTED: "tool.interrupted"}
