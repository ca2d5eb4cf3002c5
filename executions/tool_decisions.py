"""Decides on tool calls that need a person: approve as they are or edited, or reject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import F
from rest_framework.exceptions import ValidationError
from uuid_utils.compat import uuid7

from agents.actions import configuration
from agents.activity import Actor
from agents.clock import clock
from agents.models import ActorKind
from agents.rest.authentication import Within
from agents.runtime.tools.catalogue import TOOLS
from agents.runtime.tools.registry import Tool, argument_problems
from agents.runtime.tools.text import storable
from boards.actions.approvals import AgentDecides, AlreadyDecided
from boards.agent_api.tools import tools_of
from executions import secrets, stream
from executions.engine import ends, waits
from executions.engine.toolcalls import digest
from executions.errors import ArgumentsChanged, ExecutionState, ToolCallNotFound
from executions.models import (
    LIVE,
    CallDecision,
    CallStatus,
    Event,
    Execution,
    Status,
    ToolCall,
)

# An execution that is to be cancelled starts nothing any more.
_WAITS_FOR_IT = frozenset(LIVE) - {Status.CANCELLING}
_NOT_KEPT = (
    "They hold the value of {}, which the ledger does not keep. A command has the variables of its "
    "board: name the variable instead."
)
# Of a reason, in an event.
_MOST_TOLD = 2000
_WRITTEN = (
    "decision",
    "decider_kind",
    "decider_id",
    "decider_name",
    "decision_reason",
    "decided_at",
    "decided_digest",
)


@transaction.atomic
def approve(
    call: ToolCall, *, by: Actor, arguments: Mapping[str, Any] | None = None, seen: str = ""
) -> ToolCall:
    """Let a call run once, as the model asked for it or with other `arguments`.

    `seen` is the digest of the arguments that the person saw. Raises `ToolCallNotFound`,
    `AgentDecides`, `AlreadyDecided` with who and when, `ExecutionState` where the execution waits
    for it no longer, `ArgumentsChanged`, and `ValidationError` for arguments that the tool has not.
    """
    execution, locked = _held(call, by)
    present = digest(locked.arguments)
    if seen and seen != present:
        raise ArgumentsChanged(arguments_digest=present, arguments=locked.arguments)
    if arguments is not None:
        _edit(execution, locked, arguments)
    locked.decided_digest = digest(locked.approved_arguments)
    is_edited = locked.edited_arguments is not None
    return _decide(execution, locked, CallDecision.APPROVED, by=by, edited=is_edited)


@transaction.atomic
def reject(call: ToolCall, *, by: Actor, reason: str) -> ToolCall:
    """Refuse a call; the model is told the reason, without secrets of its run.

    Raises what `approve` does, of the state.
    """
    if not reason.strip():
        raise ValidationError({"reason": ["Say why."]})
    execution, locked = _held(call, by)
    locked.decision_reason = secrets.redactor_of(execution).text(storable(reason))
    locked.decided_digest = digest(locked.arguments)
    return _decide(
        execution, locked, CallDecision.REJECTED, by=by, reason=locked.decision_reason[:_MOST_TOLD]
    )


def _held(call: ToolCall, by: Actor) -> tuple[Execution, ToolCall]:
    """The execution and its call, both locked, if the call can be decided now."""
    if by.kind == ActorKind.AGENT:
        raise AgentDecides
    execution = waits.locked(call.execution_id)
    locked = ToolCall.objects.select_for_update(no_key=True).filter(pk=call.pk).first()
    if execution is None or locked is None:
        raise ToolCallNotFound
    if locked.decision:
        raise _already(locked)
    if locked.status != CallStatus.AWAITING_APPROVAL or execution.status not in _WAITS_FOR_IT:
        raise ExecutionState(
            f"The call is {locked.status} and the execution {execution.status}: it does not wait "
            "for a decision on it.",
            execution_status=str(execution.status),
            tool_call_status=str(locked.status),
            allowed=sorted(map(str, _WAITS_FOR_IT)),
        )
    return execution, locked


def _already(call: ToolCall) -> AlreadyDecided:
    return AlreadyDecided(
        "The call is decided already.",
        decision=call.decision,
        decided_by={"kind": call.decider_kind, "name": call.decider_name},
        decided_at=call.decided_at,
        decision_reason=call.decision_reason,
    )


def _edit(execution: Execution, call: ToolCall, arguments: Mapping[str, Any]) -> None:
    """Keep the arguments that the person gives, if they are others, and fit the tool.

    With a secret in them they are refused: the ledger keeps none, and what runs is what was typed.
    """
    given = dict(arguments)
    if digest(given) == digest(call.arguments):
        return
    configuration.check({"arguments": given}, {"arguments": configuration.check_storable})
    tool = _tool(execution, call.name)
    problems = argument_problems(tool.parameters, given) if tool else ["This tool is not here."]
    if names := secrets.redactor_of(execution).names_in(given):
        problems = [_NOT_KEPT.format(", ".join(sorted(names)))]
    if problems:
        raise ValidationError({"arguments": problems})
    ToolCall.objects.filter(pk=call.pk).update(edited_arguments=given)
    # What runs is read from there again, and PostgreSQL writes some numbers in another way.
    call.refresh_from_db(fields=["edited_arguments"])


def _tool(execution: Execution, name: str) -> Tool | None:
    """The tool that this execution has under a name: one of all, or one of its agent's board."""
    if name in TOOLS:
        return TOOLS[name]
    within = Within(execution.id, execution.board_id)
    made = tools_of(execution.agent_id, [name], within=within, held=[name])
    return next((tool for tool in made.tools if tool.name == name), None)


def _decide(
    execution: Execution, call: ToolCall, decision: CallDecision, *, by: Actor, **facts: Any
) -> ToolCall:
    """Write the decision with its event and line of activity, and wake who waits for it."""
    call.decision, call.decided_at = decision, clock()
    call.decider_kind, call.decider_id = by.kind, by.id
    call.decider_name = by.name[:200]
    call.save(update_fields=_WRITTEN)
    about = {"tool_call": str(call.id), "call_id": call.call_id, "name": call.name, **facts}
    _tell(execution, f"approval.{decision}", {**about, "by": call.decider_name})
    ends.record(execution, f"approval.{decision}", by=by, **about)
    waits.look(execution, reason="tool_call")
    stream.publish_on_commit(execution)
    return call


def _tell(execution: Execution, event: str, facts: dict[str, Any]) -> None:
    """The execution's next event; its row is held, so a run at work counts on from there."""
    Execution.objects.filter(pk=execution.pk).update(event_seq=F("event_seq") + 1)
    execution.refresh_from_db(fields=["event_seq"])
    Event.objects.create(
        id=uuid7(), execution=execution, seq=execution.event_seq, type=event, data=facts
    )
