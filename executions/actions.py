"""Every write that is asked of executions from outside, from start to finish.

Each is one transaction with its event and its line of activity; what makes an execution is in
`starts` and `again`, and a worker's own writes go through `engine.ends`.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from uuid_utils.compat import uuid7

from agents.activity import Actor
from agents.clock import clock
from agents.runtime import kinds
from agents.runtime.facts import Role
from agents.runtime.limits import reached
from executions import lines, secrets, signals, states, stream
from executions.again import fork, retry
from executions.engine import conditions, ends
from executions.engine.dispatch import dispatch_on_commit
from executions.errors import ExecutionState, NotCancellable
from executions.limits import spent_of
from executions.models import (
    AT_A_LIMIT,
    TERMINAL,
    Condition,
    Entry,
    EntryType,
    Event,
    Execution,
    PauseReason,
    Status,
)
from executions.starts import start, start_inline
from executions.states import MOVES

__all__ = [
    "cancel",
    "extend",
    "finish",
    "fork",
    "pause",
    "resume",
    "retry",
    "start",
    "start_inline",
]


def cancel(
    execution: Execution, *, by: Actor, reason: str = "", is_hard: bool = False
) -> Execution:
    """End an execution: at once where nothing runs, by its worker where something does.

    Cancelling what is being cancelled already is no error (a hard cancel hardens it); cancelling
    what has ended is `ExecutionState`, and what its kind does not let be cancelled while it runs
    is `NotCancellable`, unless the cancel is hard.
    """
    asked: dict[str, Any] = {"cancel_requested_at": timezone.now(), "cancel_reason": reason}
    with transaction.atomic():
        execution = _locked(execution)
        member = execution.permit
        if execution.status == Status.RUNNING:
            _require_cancellable(execution, is_hard=is_hard)
            states.move(
                execution,
                Status.CANCELLING,
                event="execution.cancelling",
                facts={"reason": reason, "hard": is_hard},
                cancel_is_hard=is_hard,
                **asked,
            )
            ends.record(execution, "execution.cancelling", by=by, reason=reason)
            stream.publish_on_commit(execution)
        elif execution.status == Status.CANCELLING:
            Execution.objects.filter(pk=execution.pk).update(
                cancel_is_hard=execution.cancel_is_hard or is_hard
            )
        elif states.move(
            execution,
            Status.CANCELLED,
            frm=MOVES[Status.CANCELLED] - {Status.CANCELLING},
            event="execution.cancelled",
            facts={"reason": reason},
            **asked,
        ):
            ends.announce(execution, member, "execution.cancelled", by=by)
        else:
            raise states.refusal(execution, Status.CANCELLED)
        transaction.on_commit(lambda: stream.call_to_look(execution.id), robust=True)
    return execution


def _require_cancellable(execution: Execution, *, is_hard: bool) -> None:
    kind = kinds.find(execution.kind, execution.kind_version)
    if kind is not None and not kind.cancellable and not is_hard:
        raise NotCancellable


def pause(execution: Execution, *, by: Actor) -> Execution:
    """Stand still: at once where nothing runs, at the next boundary where something does.

    One that is paused with its agent does not go on with it then.
    """
    with transaction.atomic():
        execution = _locked(execution)
        member = execution.permit
        if execution.status == Status.RUNNING:
            Execution.objects.filter(pk=execution.pk).update(pause_requested_at=timezone.now())
            execution.refresh_from_db(fields=["pause_requested_at"])
            ends.record(execution, "execution.pause_requested", by=by)
        elif states.move(
            execution,
            Status.PAUSED,
            frm=[Status.QUEUED, Status.WAITING],
            event="execution.paused",
            facts={"reason": "operator"},
            pause_reason=PauseReason.OPERATOR,
        ):
            ends.announce(execution, member, "execution.paused")
            ends.record(execution, "execution.paused", by=by)
        elif execution.pause_reason == PauseReason.AGENT:
            Execution.objects.filter(pk=execution.pk).update(pause_reason=PauseReason.OPERATOR)
            execution.refresh_from_db(fields=["pause_reason"])
            ends.record(execution, "execution.paused", by=by)
        else:
            raise states.refusal(execution, Status.PAUSED)
        transaction.on_commit(lambda: stream.call_to_look(execution.id), robust=True)
    return execution


def resume(execution: Execution, *, by: Actor, feedback: str = "") -> Execution:
    """Go on with a paused execution: through the queue like any start, with the turns it has had.

    `feedback` goes to the model before its next turn. A wait that is not yet over goes on, unless
    it ends with what is said: then `feedback` is said to it. Raises `ExecutionState`, and what
    `signals.send_message` does.
    """
    with transaction.atomic():
        execution = _locked(execution)
        waits = _still_waits(execution)
        to = Status.WAITING if waits else Status.QUEUED
        now = clock()
        place: dict[str, Any] = {"queued_at": now, "rank": states.rank(now, execution.priority)}
        moved = states.move(
            execution,
            to,
            frm=[Status.PAUSED],
            event=f"execution.{to}",
            facts={"reason": "resumed"},
            **({} if waits else place),
        )
        if not moved:
            raise _not_paused(execution)
        _shift_deadline(execution)
        ends.record(execution, "execution.resumed", by=by)
        if feedback and waits:
            signals.send_message(execution, feedback, by=by)
            execution.refresh_from_db()
        elif feedback:
            _inject(execution, feedback)
        dispatch_on_commit(execution.organization_id)
        stream.publish_on_commit(execution)
    return execution


def _still_waits(execution: Execution) -> bool:
    """Whether a paused execution waits on: not for what has come about meanwhile."""
    conditions.mark(execution.id)
    if not Condition.objects.filter(execution=execution).exists():
        return False
    if not conditions.is_over(execution.id, execution.wait_mode):
        return True
    conditions.drop(execution.id)
    return False


def extend(
    execution: Execution, *, by: Actor, turns: int = 0, tokens: int = 0, seconds: int = 0
) -> Execution:
    """Give a live execution more of these; one that is paused at a limit goes on if that will do.

    Of what has no limit it has enough: nothing is changed there.
    """
    more = {"turns": turns, "tokens": tokens, "seconds": seconds}
    with transaction.atomic():
        execution = _locked(execution)
        if execution.status in TERMINAL:
            raise states.refusal(execution, Status.QUEUED)
        Execution.objects.filter(pk=execution.pk).update(
            max_turns=F("max_turns") + turns,
            token_budget=F("token_budget") + tokens,
            seconds_budget=F("seconds_budget") + seconds,
        )
        execution.refresh_from_db()
        given = {name: count for name, count in more.items() if count}
        ends.record(execution, "execution.extended", by=by, **given)
        if execution.pause_reason in AT_A_LIMIT and not reached(spent_of(execution)):
            resume(execution, by=by)
            execution.refresh_from_db()
    return execution


def finish(execution: Execution, *, by: Actor) -> Execution:
    """End one that is paused at a limit as it is: its output is the last thing that it said."""
    with transaction.atomic():
        execution = _locked(execution)
        moved = states.move(
            execution,
            Status.COMPLETED,
            frm=[Status.PAUSED],
            guard={"pause_reason__in": AT_A_LIMIT},
            event="execution.completed",
            facts={"reason": "finished"},
            output=_last_text(execution),
        )
        if not moved:
            raise _not_at_a_limit(execution)
        ends.announce(execution, "", "execution.completed", by=by)
    return execution


def _last_text(execution: Execution) -> str:
    said = lines.entries(execution).filter(role=Role.ASSISTANT).exclude(content__text="")
    content = said.order_by("-position").values_list("content", flat=True).first()
    return str(content["text"]) if content else ""


def _shift_deadline(execution: Execution) -> None:
    """A deadline stands still while its execution is paused."""
    paused = Event.objects.filter(execution=execution, type="execution.paused")
    paused_at = paused.order_by("-seq").values_list("created_at", flat=True).first()
    if execution.deadline_at is None or paused_at is None:
        return
    execution.deadline_at += clock() - paused_at
    Execution.objects.filter(pk=execution.pk).update(deadline_at=execution.deadline_at)


def _inject(execution: Execution, text: str) -> None:
    """Append a message of a person to the line; the caller holds the row's lock."""
    Entry.objects.create(
        id=uuid7(),
        execution=execution,
        position=execution.position + 1,
        parent_id=lines.leaf(execution),
        turn=execution.turn,
        type=EntryType.INJECTION,
        role=Role.USER,
        content={"text": secrets.redactor_of(execution).text(text)},
    )
    Execution.objects.filter(pk=execution.pk).update(position=F("position") + 1)


def _locked(execution: Execution) -> Execution:
    """The row as it is now, under its lock for the rest of the transaction."""
    return Execution.objects.select_for_update(no_key=True).get(pk=execution.pk)


def _not_at_a_limit(execution: Execution) -> ExecutionState:
    reason = {"pause_reason": execution.pause_reason} if execution.pause_reason else {}
    return ExecutionState(
        "Only an execution that is paused at its turn limit or budget can be finished.",
        execution_status=str(execution.status),
        allowed=["paused"],
        allowed_pause_reasons=sorted(map(str, AT_A_LIMIT)),
        **reason,
    )


def _not_paused(execution: Execution) -> ExecutionState:
    return ExecutionState(
        f"The execution is {execution.status}.",
        execution_status=str(execution.status),
        allowed=["paused"],
    )
