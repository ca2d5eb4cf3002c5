"""A run's model and tools: each reply is kept before its calls start, each call in the ledger.

No database connection is held while a model or tool works.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import CancelledError, wait
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

from django.conf import settings
from django.db import connection

from agents.rest.authentication import Within
from agents.runtime import compaction, portal
from agents.runtime.facts import (
    Message,
    ModelRequest,
    Outcome,
    Reply,
    Role,
    ToolDescription,
    TooLong,
    ToolRequest,
    ToolResult,
)
from agents.runtime.llm import CONTEXT_TOO_LONG, MODEL_ERROR, Delta, ModelError, open_model
from agents.runtime.spec import ModelSettings
from agents.runtime.tools import hooks
from agents.runtime.tools.catalogue import MADE_ABOVE, TOOLS
from agents.runtime.tools.registry import Tool, Toolbox
from boards.agent_api.tools import tools_of
from executions.engine import claim as claims
from executions.engine import held_calls, questions
from executions.engine.held_calls import Permit
from executions.engine.run import Run
from executions.engine.tokens import Tokens
from executions.engine.toolcalls import Ledger, settled, unknown
from executions.models import CallStatus, EntryType
from executions.transcripts import CHARACTERS, KEPT

# A model that answers within it (a scripted one) costs no change of database connections.
AT_ONCE_SECONDS = 0.002


class Conversation(Run):
    """What loops of models and tools are written on."""

    @cached_property
    def toolbox(self) -> Toolbox:
        row, allowed = self.claim.execution, self.spec.tools
        made = tools_of(
            row.agent_id,
            allowed,
            within=Within(row.id, row.board_id),
            held=self.spec.approval_required,
        )
        before, after = hooks.of(self.spec.hooks, within=settings.SIGNALBOX_MODULES)
        return Toolbox(
            [*TOOLS.values(), *made.tools],
            allowed,
            others={**dict.fromkeys(MADE_ABOVE, ""), **made.absent},
            pre_hooks=before,
            post_hooks=after,
        )

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.claim.execution)

    @property
    def tools(self) -> Sequence[ToolDescription]:
        return self.toolbox.descriptions()

    # --- the model ------------------------------------------------------------------------------

    def ask(self, request: ModelRequest, *, may_be_shorter: bool = False) -> Reply | TooLong | None:
        """Ask, and commit the reply with its calls as prepared before any of them starts.

        A reply without calls is kept with what it leads to (an end, or a note), in one commit.
        """
        self.control.check()
        if not self.kind.takes_messages:  # A conversation was warned before its request was made.
            self.warn()
        try:
            reply = self._reply_to(request, self.spec.model_settings)
        except ModelError as error:
            if error.code == CONTEXT_TOO_LONG and may_be_shorter:
                return TooLong()
            raise
        if reply is None:
            return None
        self.turn = request.turn
        self.count(reply)
        calls = held_calls.rows_of(self, self.toolbox, reply.tool_requests)
        length = compaction.counted(request, reply.usage)
        noted = {CHARACTERS: length} if length else None
        self.append(reply.as_message(), usage=asdict(reply.usage), noted=noted)
        self.batch.turn = request.turn
        self.batch.calls = calls
        self.batch.event(
            "execution.turn", turn=request.turn, text=reply.text[:2000], **_who_answered(reply)
        )
        if calls:
            self.ledger.add(calls)
            held_calls.commit_reply(self, calls)
        return reply

    def compact(self, request: ModelRequest, kept: int) -> Reply | None:
        """Ask for a summary, and commit it: what it sums up is not sent any more, but stays.

        It is no turn, and nobody watches its words.
        """
        self.control.check()
        how = compaction.settings_for_summary(self.spec.model_settings)
        reply = self._reply_to(request, how, is_shown=False)
        if reply is None:
            return None
        self.count(reply)
        if not reply.text.strip():
            raise ModelError(MODEL_ERROR, "The model gave no summary of the conversation.")
        summary = Message(Role.USER, reply.text)
        usage, noted = asdict(reply.usage), {KEPT: kept}
        self.append(summary, type=EntryType.COMPACTION, usage=usage, noted=noted)
        self.batch.event("execution.compacted", turn=self.turn, kept=kept, **_who_answered(reply))
        self.commit()
        return reply

    def _reply_to(
        self, request: ModelRequest, how: ModelSettings, *, is_shown: bool = True
    ) -> Reply | None:
        """The model's reply; None where somebody said something first, which is taken in."""
        if self.control.was_steered():
            self.take_messages()
            return None
        model = open_model(self.spec.model, how, redactor=self.redactor)
        with Tokens(self.claim.id, request.turn, self.redactor) as tokens:
            call = portal.submit(model.reply(request, tokens.on_delta if is_shown else _unheard))
            self.control.attach(call)
            call.add_done_callback(tokens.end)
            if wait([call], AT_ONCE_SECONDS).not_done:
                connection.close()
            try:
                tokens.publish_until_end()
                return self.redactor.reply(call.result())
            except CancelledError:
                self.control.check()
                if not self.control.was_steered():
                    raise
            finally:
                self.control.detach()
            if is_shown:
                tokens.start_anew()
        self.take_messages()
        return None

    def hear_answers(self) -> bool:
        """Wait for what people were asked; whether something was said, which the model hears."""
        return questions.hear_answers(self)

    # --- tools ----------------------------------------------------------------------------------

    def call(self, request: ToolRequest, *, is_last: bool) -> ToolResult:
        """Carry a tool call out under the ledger; the turn ends with its last one."""
        self.look_between_calls()
        result, tree = self._result_of(request)
        self.append(
            Message(Role.TOOL_RESULT, result.output, call_id=result.call_id, tool_name=result.name)
        )
        row = self.ledger.row_of(request)
        self.batch.settled = settled(row, CallStatus(result.outcome), result.output, result.whole)
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
        """What came of a call and the commit of the files after it, if it may have changed any.

        One that is refused, by its list, its arguments or a hook, never was `running`.
        """
        tool = self.toolbox.tool(request.name)
        is_held = self.ledger.needs_approval(request)
        # An approval is for one run, whatever the tool allows.
        may_repeat = tool is not None and tool.repeatable and not is_held
        if self.ledger.was_left_running(request) and not (
            may_repeat and self.ledger.is_repeated_in_time(request)
        ):
            return unknown(request), None
        if not is_held and held_calls.is_unasked(self, self.toolbox, request):
            return held_calls.unasked(request), None
        if not is_held:
            return self._carried_out(Permit(request), tool, may_repeat=may_repeat)
        permit = held_calls.permit_for(self, self.ledger.row_of(request), request)
        if permit.refusal:
            return self._clean(permit.refused()), None
        return self._carried_out(permit, tool, may_repeat=False)

    def _clean(self, result: ToolResult) -> ToolResult:
        return replace(result, output=self.redactor.text(result.output))

    def _carried_out(
        self, permit: Permit, tool: Tool | None, *, may_repeat: bool
    ) -> tuple[ToolResult, str | None]:
        """The same for a call that nothing stands in the way of but its own tool."""
        request, row = permit.request, self.ledger.row_of(permit.request)
        is_allowed = tool is not None and self.toolbox.is_allowed(request.name)
        workspace = replace(
            self.files.workspace_for(tool if is_allowed else None), call_key=f"call:{row}"
        )
        if self.toolbox.has_pre_hooks:
            connection.close()
        if refusal := self.toolbox.refuse(request, workspace):
            return permit.told(refusal), None
        self.control.check()
        claims.start_call(
            self.claim, row, may_repeat=may_repeat, facts=_told(request), digest=permit.digest
        )
        connection.close()
        # The lease is looked at once more: a process may have stood still since the commit. What
        # else was asked meanwhile is for the tool, which sees `stop` and ends as interrupted.
        self.control.check_lease()
        # What a person wrote may hold a secret as well as what a tool puts out.
        result = self._clean(permit.told(self.toolbox.carry_out(request, workspace)))
        if tool is None or not tool.changes_files:
            return result, None
        self.control.check_lease()
        return result, self.files.keep(self.turn)


def _unheard(delta: Delta) -> None:
    """Nobody watches."""


def _who_answered(reply: Reply) -> dict[str, Any]:
    """What events say of the model that answered, and of those that should have."""
    told: dict[str, Any] = {"model": reply.model}
    if reply.fell_back_from:
        told["fell_back_from"] = list(reply.fell_back_from)
    return told


def _told(request: ToolRequest) -> dict[str, str]:
    """What events say of a call."""
    return {"name": request.name, "call_id": request.call_id}


_EVENTS = {Outcome.DENIED: "tool.denied", Outcome.INTERRUPTED: "tool.interrupted"}
