"""Calls that a person has to approve: asked with their reply, waited for, and taken as decided."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from django.db import transaction

from agents.runtime.facts import Outcome, ToolRequest, ToolResult
from agents.runtime.tools.approval import needs_approval
from agents.runtime.tools.registry import Toolbox
from agents.runtime.tools.text import clip
from boards.agent_api.tools import in_full
from executions.engine import ends
from executions.engine.conditions import Wait, Wanted
from executions.engine.run import Left, Run
from executions.engine.toolcalls import digest, prepared
from executions.models import CallDecision, Condition, ToolCall

# How much of the arguments that a person gave the model is told with the output.
_MOST_TOLD = 4096
# Of a person's reason, in bytes: the ledger holds no more of an output.
_MOST_REFUSED = 48 * 1024
_UNASKED = (
    "Nobody was asked to approve this call, since it could not be run when it was made. Make it "
    "again."
)
_CHANGED = (
    "This call was not run: its arguments are no longer those that a person approved, and the "
    "approval holds for no others."
)


@dataclass(frozen=True, slots=True)
class Permit:
    """What a person made of a call: the request as it may run, or the refusal of it.

    `digest` is that of its arguments, by which its start finds the approval.
    """

    request: ToolRequest
    digest: str = ""
    is_edited: bool = False
    refusal: str = ""

    def told(self, result: ToolResult) -> ToolResult:
        """The result as the model is told of it: with what ran, where that is not what it asked."""
        if not self.is_edited:
            return result
        arguments = json.dumps(dict(self.request.arguments), ensure_ascii=False)
        ran, _ = clip(arguments, _MOST_TOLD)
        note = f"A person changed the arguments of this call before it ran: {ran}"
        return replace(result, output=f"{note}\n\n{result.output}")

    def refused(self) -> ToolResult:
        told, _ = clip(self.refusal, _MOST_REFUSED)
        return ToolResult(self.request.call_id, self.request.name, Outcome.DENIED, told)


def rows_of(run: Run, toolbox: Toolbox, requests: Sequence[ToolRequest]) -> list[dict[str, Any]]:
    """The ledger's rows of a reply's calls, with whether they need a person."""
    return [
        prepared(
            request,
            n,
            needs_approval=_needs_person(run, toolbox, request),
        )
        for n, request in enumerate(requests, start=1)
    ]


def is_unasked(run: Run, toolbox: Toolbox, request: ToolRequest) -> bool:
    """Whether a call could run now that needs a person, and was asked of nobody.

    When its reply was kept it could not run: the agent has another seat since, or other tools.
    """
    return _needs_person(run, toolbox, request)


def _needs_person(run: Run, toolbox: Toolbox, request: ToolRequest) -> bool:
    """Whether a call needs a person; what will be refused anyway is asked of nobody."""
    seen = in_full(toolbox.tool(request.name), request.arguments)
    needs = needs_approval(run.spec.approval_required, request.name, seen)
    return needs and not toolbox.refuses(request)


def unasked(request: ToolRequest) -> ToolResult:
    return ToolResult(request.call_id, request.name, Outcome.DENIED, _UNASKED)


def commit_reply(run: Run, calls: Sequence[dict[str, Any]]) -> None:
    """Commit a reply with its calls, and ask people for those that need one: for all at once."""
    held = [_facts(call) for call in calls if call["needs_approval"]]
    for facts in held:
        run.batch.event("approval.requested", **facts)
    if not held:
        run.commit()
        return
    with transaction.atomic():
        run.commit()
        for facts in held:
            ends.record(run.claim.execution, "approval.requested", by=run.actor, **facts)


def permit_for(run: Run, row_id: UUID, request: ToolRequest) -> Permit:
    """What a person has decided of the call; until one has, the run leaves. Raises `Left`."""
    while True:
        call = ToolCall.objects.get(pk=row_id)
        if call.decision:
            return _permit(call, request)
        wanted = Wanted(Condition.Kind.TOOL_CALL, name=call.name, target_id=call.id)
        if run.suspend(Wait([wanted])):
            raise Left


def _permit(call: ToolCall, request: ToolRequest) -> Permit:
    if call.decision == CallDecision.REJECTED:
        return Permit(request, refusal=f"A person refused this call: {call.decision_reason}")
    arguments = call.approved_arguments
    # Of what runs, and not of what was read when it was decided.
    if digest(arguments) != call.decided_digest:
        return Permit(request, refusal=_CHANGED)
    return Permit(
        replace(request, arguments=arguments),
        digest=call.decided_digest,
        is_edited=call.edited_arguments is not None,
    )


def _facts(call: Mapping[str, Any]) -> dict[str, str]:
    """What events and the permanent record say of a call."""
    return {"tool_call": call["id"], "call_id": call["call_id"], "name": call["name"]}
