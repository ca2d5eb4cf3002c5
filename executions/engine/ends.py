"""How a run leaves its worker: complete, fail, cancel, pause, suspend or yield.

Each is one guarded transaction: the last commit of the run, the move, and what an end brings with
it. After the transaction the permit is given back and the next execution dispatched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import replace
from functools import partial
from typing import Any

from django.db import transaction

from agents import activity
from agents.activity import SYSTEM, Actor, Target
from agents.models import LiveWork
from agents.runtime.limits import Spent, reached
from agents.runtime.tools.text import storable
from executions import states, stream
from executions.engine import claim as claims
from executions.engine import conditions, permits
from executions.engine.claim import Batch, Claim
from executions.engine.conditions import Wait
from executions.engine.dispatch import dispatch_next_on_commit
from executions.engine.toolcalls import withdraw_held
from executions.errors import Superseded
from executions.models import TERMINAL, Execution, PauseReason, Status
from executions.said import said

Follow = Callable[[Execution], None]

_ON = (Status.QUEUED, Status.WAITING)
_followers: list[Follow] = []


def after_an_end(follow: Follow) -> Follow:
    """Have the function called with each execution that has ended, after the commit.

    A process may die before it is: what it does is also a chore of the sweep. For what ends other
    executions in turn, and so stands above this module.
    """
    _followers.append(follow)
    return follow


class Spoken(Exception):
    """Somebody has said something to the run meanwhile: nothing was written."""


def complete(
    claim: Claim,
    batch: Batch,
    *,
    output: Any,
    diff: Mapping[str, Any] | None,
    hears_messages: bool = False,
) -> None:
    """End well, with the output and the diff of the files that were changed.

    Raises `Spoken` where it `hears_messages` and something was said: the commit holds the row, as
    who says something does, so nothing is left behind by an end.
    """
    with transaction.atomic():
        asked = claims.commit(claim, batch)
        if hears_messages and asked.signals_pending and said(claim.id).exists():
            raise Spoken
        _leave(
            claim,
            Status.COMPLETED,
            None,
            event="execution.completed",
            facts={"changed_files": len(diff["files"]) if diff else 0},
            output=claim.redactor.json(output),
            diff=diff,
        )


def fail(claim: Claim, batch: Batch, *, code: str, message: str, **details: Any) -> None:
    """End badly; `code` says how. What a message cannot hold is replaced: an end has to be kept."""
    message = claim.redactor.fragment(storable(message), ends_cut=True)
    _leave(
        claim,
        Status.FAILED,
        batch,
        event="execution.failed",
        facts={"code": code, "message": message},
        failure_code=code,
        failure_message=message,
        failure_details=claim.redactor.json(details),
    )


def cancelled(claim: Claim) -> None:
    """End a run whose cancel was requested."""
    _leave(claim, Status.CANCELLED, None, event="execution.cancelled", frm=Status.CANCELLING)


def pause(claim: Claim, batch: Batch, reason: PauseReason) -> None:
    """Stand still until a person goes on."""
    _leave(
        claim,
        Status.PAUSED,
        batch,
        event="execution.paused",
        facts={"reason": str(reason)},
        pause_reason=reason,
    )


def stop_at_limit(claim: Claim, batch: Batch, spent: Spent) -> None:
    """Pause at the limit that is reached; if a person has just extended it, yield instead."""
    with transaction.atomic():
        # The commit holds the row's lock: nobody extends between this look and the move.
        asked = claims.commit(claim, batch)
        reason = reached(replace(spent, limits=asked.limits))
        if reason:
            pause(claim, Batch(), PauseReason(reason))
        else:
            give_up(claim, Batch())


def suspend(claim: Claim, batch: Batch, wait: Wait) -> bool:
    """Wait without a worker or a permit; False where the wait is over already.

    The batch is written in either case. The look comes after the row is held, and whatever ends
    the wait holds the row too: what came before is seen, and what comes later finds the wait.
    """
    with transaction.atomic():
        claims.commit(claim, batch)
        number = claim.execution.wait_number + 1
        conditions.put(claim.execution, number, wait)
        conditions.mark(claim.id)
        if conditions.is_over(claim.id, wait.mode):
            conditions.drop(claim.id)
            return False
        _leave(
            claim,
            Status.WAITING,
            Batch(),
            event="execution.waiting",
            facts=_told_of(wait),
            wait_number=number,
            wait_mode=wait.mode,
        )
    return True


def _told_of(wait: Wait) -> dict[str, Any]:
    """What the event says of a wait."""
    kinds = sorted({str(wanted.kind) for wanted in wait.wanted})
    facts: dict[str, Any] = {"reason": wait.reason or (kinds[0] if kinds else "timer")}
    if wait.wanted:
        facts |= {"for": kinds, "count": len(wait.wanted), "mode": str(wait.mode)}
    if wait.seconds is not None:
        facts["seconds"] = wait.seconds
    return facts


def sleep(claim: Claim, batch: Batch, *, seconds: float, reason: str) -> None:
    """Wait for a timer without a worker or a permit."""
    if not suspend(claim, batch, Wait(seconds=seconds, reason=reason)):
        give_up(claim, Batch())


def give_up(claim: Claim, batch: Batch) -> None:
    """Yield: back to the queue at the place it had, for another worker."""
    _leave(claim, Status.QUEUED, batch, event="execution.queued", facts={"reason": "yielded"})


def _leave(
    claim: Claim,
    to: Status,
    batch: Batch | None,
    *,
    event: str,
    facts: Mapping[str, Any] | None = None,
    frm: Status = Status.RUNNING,
    **fields: Any,
) -> None:
    # A copy: after a rollback the claim must still know its permit, for the next way to leave.
    execution, member = copy(claim.execution), claim.execution.permit
    with transaction.atomic():
        asked = None if batch is None else claims.commit(claim, batch)
        # Or will, with its agent.
        goes_on = to in _ON or fields.get("pause_reason") == PauseReason.AGENT
        if asked and asked.is_pause_requested and goes_on:
            # The commit holds the row's lock: a pause that was asked for is not lost on the way.
            to, event = Status.PAUSED, "execution.paused"
            facts, fields = {"reason": "operator"}, {**fields, "pause_reason": "operator"}
        moved = states.move(
            execution, to, event=event, facts=facts, frm=[frm], guard=claim.guard, **fields
        )
        if not moved:
            raise Superseded
        announce(execution, member, event)


def announce(
    execution: Execution,
    member: str,
    event: str,
    *,
    by: Actor = SYSTEM,
    dispatches: bool = True,
) -> None:
    """What every move out of work brings with it, in the transaction of the move.

    An end deletes the note of live work and writes its line of activity; in any case watchers are
    told after the commit, and the permit (`member`, if it had one) is given back. The queue is
    walked then, unless the caller does it for many at once.
    """
    if execution.status in TERMINAL:
        LiveWork.objects.filter(execution_id=execution.id).delete()
        if execution.wait_number:
            conditions.drop(execution.id)
        withdraw_held(execution)
        record(execution, event, by=by)
        for follow in _followers:
            transaction.on_commit(partial(follow, execution), robust=True)
    stream.publish_on_commit(execution)
    if member:
        transaction.on_commit(partial(permits.give_back, execution, member), robust=True)
    if dispatches:
        dispatch_next_on_commit(execution.organization_id)


def record(execution: Execution, event: str, *, by: Actor, **facts: Any) -> None:
    """One line of activity about an execution."""
    activity.record(
        execution.organization_id,
        event,
        by=by,
        target=Target(
            agent_id=execution.agent_id,
            board_id=execution.board_id,
            task_id=execution.task_id,
            execution_id=execution.id,
        ),
        status=str(execution.status),
        **({"code": execution.failure_code} if execution.failure_code else {}),
        **facts,
    )
