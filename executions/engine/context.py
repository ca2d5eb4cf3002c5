"""AgentContext on rows: what `agents.runtime.context` promises, kept in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property, partial
from typing import Any, TypeVar
from uuid import UUID, uuid4

from agents.clock import clock
from agents.runtime.context import (
    Cancelled,
    Decision,
    Received,
    Rejected,
    Remaining,
)
from agents.runtime.facts import Message, Role, ToolRequest
from agents.runtime.json_values import storable
from boards.actions import approvals
from boards.actions.approvals import ApprovalRequest
from boards.models import Approval, ApprovalStatus, Board
from executions import signals, stream
from executions.engine.conditions import Wait, Wanted
from executions.engine.delegation import Delegation
from executions.engine.effects import NotYet, asking
from executions.engine.tokens import Pieces
from executions.engine.toolcalls import prepared, settled
from executions.models import CallStatus, Checkpoint, Condition, EntryType, Signal

T = TypeVar("T")

# What may be consumed at once.
_MOST_SIGNALS = 1000


class Context(Delegation):
    """What the function of a kind is given; see `agents.runtime.context.AgentContext`."""

    # --- who and what

    @property
    def execution_id(self) -> UUID:
        return self.claim.id

    @property
    def agent_id(self) -> UUID | None:
        return self.claim.execution.agent_id

    @property
    def organization_id(self) -> UUID:
        return self.claim.execution.organization_id

    @property
    def parent_id(self) -> UUID | None:
        return self.claim.execution.parent_id

    @property
    def input(self) -> Any:
        return self.claim.execution.input.get("with", {})

    @property
    def prompt(self) -> str:
        return str(self.claim.execution.input.get("prompt", ""))

    # --- the conversation

    @property
    def messages(self) -> Sequence[Message]:
        return tuple(self.transcript.messages)

    def reload_messages(self) -> Sequence[Message]:
        self.reload()
        return self.messages

    def append_entry(self, key: str, text: str, *, role: Role = Role.ASSISTANT) -> None:
        effect = self.known(key, "entry", [text, str(role)])
        if not effect.is_finished:
            self._say(Message(role, self.redactor.text(text)))
            self.keep(effect)

    def append_tool_call(self, key: str, name: str, arguments: Mapping[str, Any]) -> str:
        effect = self.known(key, "tool_call", [name, dict(arguments)])
        if effect.is_finished:
            return str(effect.result["call_id"])
        given = self.redactor.json(storable(dict(arguments)))
        request = ToolRequest(f"call_{uuid4().hex[:16]}", name, given)
        row = prepared(request, 1)
        self._say(Message(Role.ASSISTANT, "", tool_requests=(request,)), type=EntryType.TOOL_CALL)
        self.batch.calls = [row]
        self.ledger.add([row])
        self.keep(effect, {"call_id": request.call_id, "name": name})
        return request.call_id

    def append_tool_result(self, key: str, call_id: str, output: str) -> None:
        effect = self.known(key, "tool_result", [call_id, output])
        if effect.is_finished:
            return
        name, row = self.ledger.open_call(call_id)
        text = self.redactor.text(storable(output))
        self._say(Message(Role.TOOL_RESULT, text, call_id=call_id, tool_name=name))
        self.batch.settled = settled(row, CallStatus.COMPLETE, text)
        self.batch.event("tool.finished", name=name, call_id=call_id, outcome="complete")
        self.keep(effect)

    def _say(self, message: Message, **more: Any) -> None:
        self._pieces.end()
        self.append(message, **more)
        self.transcript.add(message)

    # --- state and steps

    @cached_property
    def _kept(self) -> dict[str, Any]:
        """The latest checkpoint: its sequence and state."""
        row = self.claim.execution
        if not row.checkpoint:
            return {"sequence": 0, "state": {}}
        latest = Checkpoint.objects.filter(execution=row).latest("sequence")
        self.release()
        return {"sequence": latest.sequence, "state": latest.state}

    @property
    def state(self) -> Mapping[str, Any]:
        return dict(self._kept["state"])

    @property
    def checkpoint_sequence(self) -> int:
        return int(self._kept["sequence"])

    def checkpoint(self, key: str, state: Mapping[str, Any]) -> int:
        stored = storable(dict(state))
        effect = self.known(key, "checkpoint", stored)
        if effect.is_finished:
            return int(effect.result)
        sequence = self.checkpoint_sequence + 1
        self.batch.is_boundary, self.batch.state = True, self.redactor.json(stored)
        self.batch.event("execution.checkpoint", turn=self.turn, sequence=sequence)
        self.keep(effect, sequence)
        return sequence

    def step(self, key: str, work: Callable[[], T], *, repeatable: bool = False) -> T:
        effect = self.known(key, "step")
        if effect.is_finished:
            result: T = effect.result
            return result
        done: T = self.once(effect, work, repeatable=repeatable)
        return done

    # --- signals

    def has_signal(self, name: str) -> bool:
        self.look()
        is_there = signals.pending(self.claim.id, signals.check_pattern(name)).exists()
        self.release()
        return is_there

    def wait_for_signal(
        self, key: str, name: str, *, timeout: float | None = None
    ) -> Received | None:
        effect = self.known(key, "signal", [signals.check_pattern(name), timeout])
        found = self.wait_for(
            effect,
            partial(self._consume_one, name, key),
            lambda: [Wanted(Condition.Kind.SIGNAL, name=name)],
            timeout=timeout,
        )
        return Received(**found) if found else None

    def drain_signals(self, key: str, name: str) -> list[Received]:
        effect = self.known(key, "signals", signals.check_pattern(name))
        found = self.held(effect, lambda: self._consume(name, key, most=_MOST_SIGNALS))
        return [Received(**each) for each in found]

    def _consume_one(self, name: str, key: str) -> dict[str, Any]:
        for found in self._consume(name, key, most=1):
            return found
        raise NotYet

    def _consume(self, name: str, key: str, *, most: int) -> list[dict[str, Any]]:
        """Consume what is there, in the commit of the effect."""
        found: list[Signal] = list(signals.pending(self.claim.id, name)[:most])
        signals.mark_consumed(found, by_key=key)
        self.batch.consumed = len(found)
        for each in found:
            self.batch.event("signal.consumed", name=each.name, number=each.number, key=key)
        return [
            {"name": s.name, "value": s.value, "number": s.number, "sender": s.sender}
            for s in found
        ]

    # --- approvals and time

    def ask_approval(
        self,
        key: str,
        *,
        action_type: str,
        reason: str,
        payload: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Decision | None:
        request = ApprovalRequest(
            action_type=action_type,
            reason=self.redactor.text(reason),
            payload=self.redactor.json(storable(dict(payload or {}))),
            execution_id=self.claim.id,
        )
        approval_id = self._asked(f"{key}:asked", request)
        effect = self.known(key, "approval", str(approval_id))
        found = self.wait_for(
            effect,
            lambda: _decision(approval_id),
            lambda: [Wanted(Condition.Kind.APPROVAL, target_id=approval_id)],
            timeout=timeout,
        )
        return Decision(**found) if found else None

    def _asked(self, key: str, request: ApprovalRequest) -> UUID:
        """Ask once; the board is locked before the execution, as everybody does."""
        said = [request.action_type, request.reason, request.payload]
        effect = self.known(key, "ask", said)
        if effect.is_finished:
            return UUID(effect.result)
        mine = self.claim.execution.board_id
        board = mine and Board.objects.filter(pk=mine).first()
        if not board:
            raise Rejected("BOARD_REQUIRED", "An execution without a board has nobody to ask.")
        with asking():
            approval = approvals.ask_approval(board, request, by=self.actor)
            self.batch.event("approval.requested", approval=str(approval.id), key=key)
            self.keep(effect, str(approval.id))
        return approval.id

    def sleep(self, key: str, seconds: float) -> None:
        self.wait_for(self.known(key, "timer", seconds), _never, list, timeout=seconds)

    def sleep_until(self, key: str, when: datetime) -> None:
        effect = self.known(key, "timer", when.isoformat())
        seconds = max(0.0, (when - clock()).total_seconds())
        self.wait_for(effect, _never, list, timeout=seconds)

    # --- what watchers see

    @cached_property
    def _pieces(self) -> Pieces:
        return Pieces(self.claim.id, self.redactor)

    def stream_token(self, text: str) -> None:
        self._pieces.add(text, self.turn)

    def flush(self) -> None:
        """Publish what has been streamed and waits for more."""
        self._pieces.flush()

    def commit(self, *, while_cancelling: bool = False) -> None:
        self.flush()
        state = self.batch.state if self.batch.is_boundary else None
        if self.batch.is_boundary and state is None:
            # The end of a turn is a checkpoint too, and the state goes on with it.
            state = self.batch.state = self._kept["state"]
        super().commit(while_cancelling=while_cancelling)
        if state is not None:
            self._kept.update(sequence=self._kept["sequence"] + 1, state=state)

    def stream_progress(self, text: str, *, fraction: float | None = None) -> None:
        self._publish("progress", {"text": text, "fraction": fraction})

    def stream_data(self, value: Any) -> None:
        self._publish("data", storable(value))

    def stream_error(self, text: str) -> None:
        self._publish("error", {"text": text})

    def _publish(self, kind: str, value: Any) -> None:
        self.flush()
        stream.publish_piece(self.claim.id, kind, self.redactor.json(value), self.turn)

    def complete(self, output: Any) -> bool:
        self._pieces.end()
        return super().complete(output)

    def suspend(self, wait: Wait) -> bool:
        self._pieces.end()
        return super().suspend(wait)

    def fail(self, code: str, message: str) -> None:
        self._pieces.end()
        super().fail(code, message)

    # --- limits and cancelling

    @property
    def is_cancelled(self) -> bool:
        return self.control.is_cancelling

    def check_cancelled(self) -> None:
        if self.is_cancelled:
            raise Cancelled

    def remaining_budget(self) -> Remaining:
        spent = self.spent()
        limits = spent.limits
        tokens = spent.usage.input_tokens + spent.usage.output_tokens
        return Remaining(
            turns=None if limits.turns is None else max(0, limits.turns - spent.turns),
            tokens=None if limits.tokens is None else max(0, limits.tokens - tokens),
            seconds=None if limits.seconds is None else max(0.0, limits.seconds - spent.seconds),
        )


def _never() -> Any:
    raise NotYet


def _decision(approval_id: UUID) -> dict[str, str]:
    """How it was decided. Raises `NotYet`."""
    approval = Approval.objects.filter(pk=approval_id).first()
    if approval is None:
        return {"status": ApprovalStatus.WITHDRAWN, "reason": "It was deleted."}
    if approval.status == ApprovalStatus.PENDING:
        raise NotYet
    return {
        "status": approval.status,
        "reason": approval.decision_reason,
        "by": approval.decider_name,
    }
