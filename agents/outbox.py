"""Delivers messages: by Celery when they are due, or in the request that wrote them.

A try is claimed before it is made and settled after it, each in a transaction of its own; nothing
is held in between. A claim that is not settled is over after `LEASE`, and the message tried again:
at least once, always with the same id.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import F, Q

from agents import hints, receipts
from agents.backoff import wait_after
from agents.clock import ClockTimestamp, clock
from agents.errors import GatewayFailed
from agents.gateways import reach
from agents.gateways.base import adapter_of
from agents.models import Message, MessageState
from agents.posting import kept_connections
from agents.runtime.tools.connecting import Kept

# Longer than a batch can take (`reach.SECONDS`).
LEASE = timedelta(seconds=60)
MOST_ATTEMPTS = 8
BATCH = 50
QUEUE = "deliveries"
# After so long a worker lets others have its thread, and asks for one that goes on.
ENOUGH_SECONDS = 20.0
_LONGEST_WAIT = timedelta(hours=1)
_at_it = threading.BoundedSemaphore(4)


def send_due() -> int:
    """Try what is due, a batch at once, until nothing is or time is up; how many were tried.

    A gateway that did not take something is left for the next call: one that hangs has ten
    seconds of this one, however much there is for it.
    Does nothing where enough of this process's threads are at it: others' work needs some too.
    """
    if not _at_it.acquire(blocking=False):
        return 0
    try:
        return _carry_on(time.monotonic() + ENOUGH_SECONDS)
    finally:
        _at_it.release()


def _carry_on(until: float) -> int:
    tried, left_out = 0, set[UUID]()
    with kept_connections() as over:
        while batch := _claim(left_out):
            problems = _try(batch, over)
            _settle(batch, problems)
            left_out |= _hindered(batch, problems)
            tried += len(batch)
            if time.monotonic() >= until:
                _call()
                break
    return tried


def deliver_now(messages: Sequence[Message]) -> None:
    """The first try of messages that `messages.send` has claimed for the caller, after its commit.

    They tell then how they stand. One that was not delivered is failed, and waits for somebody
    who sends it again.
    """
    pending = [each for each in messages if each.state == MessageState.PENDING]
    if not pending:
        return
    with kept_connections() as over:
        _settle(pending, _try(pending, over), is_last=True)
    stand = dict(Message.objects.in_bulk([each.pk for each in pending]))
    for each in pending:
        each.state, each.failure = stand[each.pk].state, stand[each.pk].failure


def deliver_or_raise(message: Message) -> None:
    """The same of one message. Raises GatewayFailed."""
    deliver_now([message])
    if message.state == MessageState.FAILED:
        raise GatewayFailed


@transaction.atomic
def deliver_before_commit(message: Message) -> None:
    """Deliver within the caller's transaction, which stands only if this does.

    Raises GatewayFailed; give that to `messages.keep_failed` once the transaction is undone.
    """
    if message.state != MessageState.PENDING:
        return
    with kept_connections() as over:
        (problem,) = _try([message], over)
    if problem:
        raise GatewayFailed
    receipts.note_delivered(message)
    message.save(update_fields=receipts.SETTLED_FIELDS)


def call_on_commit() -> None:
    """Ask a worker to deliver once the transaction is through: once, however much it writes."""
    if all(waiting[1] is not _call for waiting in connection.run_on_commit):
        transaction.on_commit(_call, robust=True)


def _call() -> None:
    hints.call("agents.tasks.deliver", queue=QUEUE)


def call_if_due() -> int:
    """The sweep's part: ask for it if anything is due; how many messages are, up to a batch."""
    due = Message.objects.filter(state=MessageState.PENDING, due_at__lte=ClockTimestamp())
    found = len(due.order_by("due_at").values_list("pk")[:BATCH])
    if found:
        _call()
    return found


def _hindered(batch: Sequence[Message], problems: Sequence[str]) -> set[UUID]:
    """The gateways that did not take something."""
    tried = zip(batch, problems, strict=True)
    return {each.gateway_id for each, problem in tried if problem and each.gateway_id}


@transaction.atomic
def _claim(left_out: Collection[UUID] = ()) -> list[Message]:
    rows = Message.objects.filter(state=MessageState.PENDING, due_at__lte=ClockTimestamp())
    if left_out:
        is_another = Q(recipient__gateway=None) | ~Q(recipient__gateway__in=left_out)
        rows = rows.filter(is_another)
    locked = rows.select_for_update(skip_locked=True, of=("self",), no_key=True)
    batch = list(locked.select_related("recipient__gateway").order_by("due_at")[:BATCH])
    Message.objects.filter(pk__in=[each.pk for each in batch]).update(
        attempts=F("attempts") + 1, due_at=ClockTimestamp() + LEASE
    )
    for each in batch:
        each.attempts += 1
    return batch


def _try(batch: Sequence[Message], over: Kept) -> list[str]:
    """What kept each from being delivered, through the gateway that its recipient has now."""
    problems = {each.pk: _hindrance(each) for each in batch}
    free = [each for each in batch if not problems[each.pk]]
    problems.update(zip((each.pk for each in free), reach.deliver_all(free, over), strict=True))
    return [problems[each.pk] for each in batch]


def _hindrance(message: Message) -> str:
    if message.recipient is None:
        return "Its recipient is gone."
    message.gateway = message.recipient.gateway
    if message.gateway is not None and not message.gateway.is_enabled:
        return "Its recipient's gateway is switched off."
    return ""


@transaction.atomic
def _settle(batch: Sequence[Message], problems: Sequence[str], *, is_last: bool = False) -> None:
    """Write what came of the tries that are still the caller's."""
    rows = Message.objects.filter(pk__in=[each.pk for each in batch], state=MessageState.PENDING)
    locked = {row.pk: row for row in rows.select_for_update(no_key=True).order_by("pk")}
    settled, now = [], clock()
    for message, problem in zip(batch, problems, strict=True):
        row = locked.get(message.pk)
        if row is None or row.attempts != message.attempts:
            continue  # Acknowledged meanwhile, or claimed by another since.
        row.gateway, row.recipient = message.gateway, message.recipient
        if not problem:
            receipts.note_delivered(row)
        elif is_last or _is_given_up(row):
            receipts.note_failed(row, problem=problem)
        else:
            row.failure = problem
            row.due_at = now + wait_after(row.attempts % MOST_ATTEMPTS, longest=_LONGEST_WAIT)
        settled.append(row)
    _save(settled)


def _save(settled: Sequence[Message]) -> None:
    """Write the rows: what was delivered through one gateway at once, for that is all alike."""
    alike: dict[UUID | None, list[Message]] = {}
    for row in settled:
        if row.state == MessageState.DELIVERED:
            alike.setdefault(row.gateway_id, []).append(row)
    for rows in alike.values():
        same = {name: getattr(rows[0], name) for name in receipts.SETTLED_FIELDS}
        Message.objects.filter(pk__in=[row.pk for row in rows]).update(**same)
    others = [row for row in settled if row.state != MessageState.DELIVERED]
    Message.objects.bulk_update(others, receipts.SETTLED_FIELDS)


def _is_given_up(row: Message) -> bool:
    # What is sent again goes on counting, since the count is also the claim.
    return row.recipient_id is None or row.attempts % MOST_ATTEMPTS == 0


def is_immediate(message: Message) -> bool:
    """Whether it is delivered by being written."""
    return adapter_of(message.gateway).is_immediate
