"""Signals: named values sent to an execution, kept in order until they are consumed."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone
from rest_framework.exceptions import ValidationError
from uuid_utils.compat import uuid7

from agents.activity import Actor
from agents.clock import ClockTimestamp
from executions import states, stream
from executions.engine import ends, waits
from executions.errors import SignalMismatch, SignalsFull
from executions.models import TERMINAL, Event, Execution, Signal, Status
from executions.said import MESSAGE

# What nobody consumes must end somewhere.
MOST_PENDING = 10_000
# Bytes of a value as JSON: an execution may have to hold a thousand of them at once.
LONGEST_VALUE = 64 * 1024
NAME = re.compile(r"[A-Za-z0-9_.:/@-]{1,200}")
PATTERN = re.compile(r"[A-Za-z0-9_.:/@*-]{1,200}")


@dataclass(frozen=True, slots=True)
class Sent:
    """What came of sending: whether it was new, and whether the execution goes on with it."""

    signal: Signal
    is_new: bool
    is_resumed: bool


def send(
    execution: Execution,
    *,
    name: str,
    value: Any = None,
    by: Actor,
    dedup_key: str = "",
    interrupts: bool = False,
) -> Sent:
    """Send a signal; it is kept from the moment the execution exists until it is consumed.

    A sender that repeats a `dedup_key` sends the same signal again, which changes nothing.
    `interrupts` ends a model call that is under way. Raises `ExecutionState` for an execution
    that has ended, `SignalMismatch` for a key with another value, `SignalsFull`, and
    `ValidationError` for a name or value that no signal has.
    """
    with transaction.atomic():
        locked = waits.locked(execution.id)
        assert locked is not None
        return deliver(
            locked, name=name, value=value, by=by, dedup_key=dedup_key, interrupts=interrupts
        )


def deliver(
    locked: Execution,
    *,
    name: str,
    value: Any,
    by: Actor,
    dedup_key: str = "",
    interrupts: bool = False,
) -> Sent:
    """The same in the caller's transaction, which holds the execution's row."""
    check_name(name)
    check_value(value)
    sender = f"{by.kind}:{by.id}"
    if dedup_key and (earlier := _earlier(locked, sender, dedup_key)):
        if (earlier.name, earlier.value) != (name, value):
            raise SignalMismatch
        return Sent(earlier, is_new=False, is_resumed=False)
    if locked.status in TERMINAL:
        raise states.refusal(locked, Status.RUNNING)
    if locked.signals_pending >= MOST_PENDING:
        raise SignalsFull(most=MOST_PENDING)
    signal = Signal.objects.create(
        execution=locked,
        number=_next_number(locked),
        name=name,
        value=value,
        sender=sender,
        sender_name=by.name[:200],
        dedup_key=dedup_key,
    )
    _count(locked, signal, interrupts=interrupts)
    is_resumed = waits.look(locked, reason="signal")
    stream.publish_on_commit(locked)
    if interrupts:
        transaction.on_commit(lambda: stream.call_to_look(locked.id), robust=True)
    return Sent(signal, is_new=True, is_resumed=is_resumed)


def send_message(
    execution: Execution, text: str, *, by: Actor, interrupts: bool = False, dedup_key: str = ""
) -> Sent:
    """Say something to a run, which hears it at its next boundary: a signal named `message`.

    With `interrupts` a model call that is under way ends at once. Raises what `send` does.
    """
    with transaction.atomic():
        sent = send(
            execution,
            name=MESSAGE,
            value={"text": text},
            by=by,
            dedup_key=dedup_key,
            interrupts=interrupts,
        )
        if sent.is_new:
            locked = sent.signal.execution
            ends.record(locked, "execution.message", by=by, number=sent.signal.number)
    return sent


def check_pattern(pattern: str) -> str:
    """The name or pattern (`*` is anything) of signals that code waits for. Raises ValueError."""
    if not PATTERN.fullmatch(pattern):
        raise ValueError(
            f"No signal has a name like {pattern[:50]!r}: 1 to 200 letters, digits and _.:/@- are "
            "a name, and * stands for any of them."
        )
    return pattern


def check_name(name: str) -> None:
    """Refuse what no wait could name. Raises ValidationError."""
    if not NAME.fullmatch(name):
        raise ValidationError("A name has 1 to 200 letters, digits and the characters _.:/@-.")


def check_value(value: Any) -> None:
    """Refuse what is too large to be kept by the thousand. Raises ValidationError."""
    if len(json.dumps(value, ensure_ascii=False).encode()) > LONGEST_VALUE:
        raise ValidationError(f"A value has at most {LONGEST_VALUE} bytes as JSON.")


def _earlier(execution: Execution, sender: str, dedup_key: str) -> Signal | None:
    return Signal.objects.filter(execution=execution, sender=sender, dedup_key=dedup_key).first()


def _next_number(execution: Execution) -> int:
    last = Signal.objects.filter(execution=execution).order_by("-number")
    return (last.values_list("number", flat=True).first() or 0) + 1


def _count(locked: Execution, signal: Signal, *, interrupts: bool) -> None:
    more: dict[str, Any] = {"interrupt_requested_at": timezone.now()} if interrupts else {}
    Execution.objects.filter(pk=locked.pk).update(
        event_seq=F("event_seq") + 1, signals_pending=F("signals_pending") + 1, **more
    )
    locked.refresh_from_db(fields=["event_seq", "signals_pending"])
    Event.objects.create(
        id=uuid7(),
        execution=locked,
        seq=locked.event_seq,
        type="signal.received",
        data={"name": signal.name, "number": signal.number, "sender": signal.sender},
    )


def pending(execution_id: UUID, pattern: str) -> QuerySet[Signal]:
    """What can be consumed by that name or pattern (`*` is anything), in order."""
    rows = Signal.objects.filter(execution=execution_id, consumed_at=None).order_by("number")
    if "*" not in pattern:
        return rows.filter(name=pattern)
    return rows.filter(name__regex=f"^{'.*'.join(map(re.escape, pattern.split('*')))}$")


def mark_consumed(signals: Sequence[Signal], *, by_key: str) -> None:
    """Consume them in the caller's transaction, whose commit of the run counts them."""
    rows = Signal.objects.filter(pk__in=[signal.pk for signal in signals], consumed_at=None)
    consumed = rows.update(consumed_at=ClockTimestamp(), consumed_by=by_key[:200], reserved_by=None)
    assert consumed == len(signals), "the execution's row is held, so nobody else consumes"
