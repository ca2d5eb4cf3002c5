"""Delivers to endpoints: the oldest first, by one worker at a time, at least once.

Whoever delivers to an endpoint claims it: a lease, and a number that is the fence. Each try is
written down before it is made, and what came of it in a transaction that begins the next, so that
a worker may die anywhere: its lease runs out, and the oldest is tried again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from agents import delivery_moves
from agents.actions.endpoints import disable, hint, pending_of
from agents.backoff import wait_after
from agents.clock import ClockTimestamp, clock
from agents.delivery_moves import LEASE
from agents.events import Event, events_of, post_of
from agents.fanout import KEPT, fan_out
from agents.models import (
    Activity,
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    DisabledBecause,
    WebhookEndpoint,
)
from agents.posting import Answer, Post, kept_connections, post
from agents.runtime import portal
from agents.runtime.tools.connecting import Kept
from agents.sealing import SealBroken

logger = logging.getLogger(__name__)

LONGEST_WAIT = timedelta(hours=24)
PATIENCE = timedelta(days=3)
# After so long a worker lets others have its thread, and hints that there is more.
ENOUGH_SECONDS = 20.0
HINT_AGAIN = timedelta(seconds=30)
HINTED_AT_ONCE = 200
PRUNED_AT_ONCE = 1000
READ_AHEAD = 100
GONE = 410
# Endpoints that answer slowly leave the threads of a process to others.
_at_it = threading.BoundedSemaphore(16)
LOST = "Its worker was lost: whether it arrived is not known."


@dataclass(frozen=True, slots=True)
class Try:
    """One try under way: of which claim and delivery, what is posted, and what may come next.

    `endpoint` is the row as the claim, or a later settle of it, has read it.
    """

    endpoint: WebhookEndpoint
    delivery_id: UUID
    attempt_id: UUID
    post: Post | None
    problem: str
    ahead: deque[Event]


def bring_up_to_date(endpoint_id: UUID) -> None:
    """Deliver what an endpoint is to be told, until nothing is due or others want their turn.

    Does nothing where enough of this process's threads are at it: the sweep hints again.
    """
    WebhookEndpoint.objects.filter(pk=endpoint_id, hinted_at__isnull=False).update(hinted_at=None)
    if not _at_it.acquire(blocking=False):
        return
    try:
        has_more = _carry_on(endpoint_id, time.monotonic() + ENOUGH_SECONDS)
    finally:
        _at_it.release()
    if has_more:
        hint(endpoint_id)


def _carry_on(endpoint_id: UUID, until: float) -> bool:
    while True:
        has_more = fan_out(endpoint_id)
        has_more |= deliver(endpoint_id, until=until)
        if not has_more or time.monotonic() >= until:
            return has_more


def deliver(endpoint_id: UUID, *, until: float = float("inf")) -> bool:
    """Deliver what is due, the oldest first, until that time of the monotonic clock.

    Whether something was tried: then there may be more.
    """
    under_way = claim(endpoint_id)
    if under_way is None:
        return False
    with kept_connections() as over:
        while under_way is not None:
            answer, milliseconds = _ask(under_way, over)
            is_last = time.monotonic() >= until
            under_way = settle(under_way, answer, milliseconds, goes_on=not is_last)
    return True


@transaction.atomic
def claim(endpoint_id: UUID) -> Try | None:
    """Take the lease of an endpoint for which something is due, and begin the oldest."""
    free = WebhookEndpoint.objects.filter(_is_free(), pk=endpoint_id)
    if not free.update(claim=F("claim") + 1, leased_until=ClockTimestamp() + LEASE):
        return None
    endpoint = WebhookEndpoint.objects.get(pk=endpoint_id)
    open_ones = DeliveryAttempt.objects.filter(
        delivery__endpoint=endpoint, delivery__state=DeliveryState.PENDING, status=None, problem=""
    )
    open_ones.update(problem=LOST)
    return _begin(endpoint, deque())


def settle(done: Try, answer: Answer, milliseconds: int, *, goes_on: bool = True) -> Try | None:
    """Write down what came of a try, and begin the next one if there is one and it may be.

    Of a claim that is not the newest nothing is written: another worker tries the same again.
    """
    if answer.is_taken and goes_on and done.ahead:
        then = done.ahead[0]
        tried = done.delivery_id, done.attempt_id, answer.status, milliseconds
        attempt_id = delivery_moves.go_on(done.endpoint, *tried, then.delivery.pk)
        if attempt_id:
            done.ahead.popleft()
            return _try_of(done.endpoint, then, attempt_id, done.ahead)
    return _settle(done, answer, milliseconds, goes_on=goes_on)


@transaction.atomic
def _settle(done: Try, answer: Answer, milliseconds: int, *, goes_on: bool) -> Try | None:
    """The same whatever is the case."""
    rows = WebhookEndpoint.objects.select_for_update(no_key=True)
    endpoint = rows.filter(pk=done.endpoint.pk, claim=done.endpoint.claim).first()
    if endpoint is None:
        logger.info("What came of delivery %s is left to another claim.", done.delivery_id)
        return None
    DeliveryAttempt.objects.filter(pk=done.attempt_id).update(
        status=answer.status or None, problem=answer.problem, milliseconds=milliseconds
    )
    if not answer.is_taken:
        _fail(endpoint, answer)
        return None
    Delivery.objects.filter(pk=done.delivery_id).update(
        state=DeliveryState.DELIVERED, delivered_at=ClockTimestamp()
    )
    _write(endpoint, failures=0, failing_since=None, leased_until=ClockTimestamp() + LEASE)
    if goes_on and endpoint.is_enabled:
        return _begin(endpoint, done.ahead)
    _leave(endpoint, due=pending_of(endpoint).exists())
    return None


def hint_due() -> int:
    """Hint workers at endpoints for which there is something to do; how many."""
    late = Q(hinted_at=None) | Q(hinted_at__lt=ClockTimestamp() - HINT_AGAIN)
    with transaction.atomic():
        wanted = _with_news().filter(late, is_enabled=True).order_by("hinted_at")
        keys = list(
            wanted.select_for_update(skip_locked=True, no_key=True).values_list("pk", flat=True)[
                :HINTED_AT_ONCE
            ]
        )
        WebhookEndpoint.objects.filter(pk__in=keys).update(hinted_at=ClockTimestamp())
    for key in keys:
        hint(key)
    return len(keys)


def prune() -> int:
    """Remove what is past its time, a thousand rows a transaction; how many there were."""
    removed = 0
    while True:
        old = Delivery.objects.filter(created_at__lt=ClockTimestamp() - KEPT)
        with transaction.atomic():
            # Those first, as whoever goes on to one does; what is held is left to the next time.
            free = old.select_for_update(skip_locked=True).order_by("created_at")
            keys = list(free.values_list("pk", flat=True)[:PRUNED_AT_ONCE])
            DeliveryAttempt.objects.filter(delivery__in=keys).delete()
            Delivery.objects.filter(pk__in=keys).delete()
        removed += len(keys)
        if len(keys) < PRUNED_AT_ONCE:
            return removed


def _is_free() -> Q:
    """Endpoints of which the oldest may be tried now."""
    unclaimed = Q(leased_until=None) | Q(leased_until__lt=ClockTimestamp())
    return unclaimed & Q(is_enabled=True, due_at__lte=ClockTimestamp())


def _with_news() -> QuerySet[WebhookEndpoint]:
    """Those of which one may be tried, or in whose organization there are lines after the place."""
    after = Q(xact__gt=OuterRef("cursor_xact")) | Q(id__gt=OuterRef("cursor_id"))
    lines = Activity.objects.filter(
        after, organization_id=OuterRef("organization_id"), xact__gte=OuterRef("cursor_xact")
    )
    return WebhookEndpoint.objects.filter(_is_free() | Q(Exists(lines)))


def _begin(endpoint: WebhookEndpoint, ahead: deque[Event]) -> Try | None:
    """Write down that the oldest is tried; without one, let go of the lease."""
    event = _oldest(endpoint, ahead)
    if event is None:
        # What was read may have been pruned before it could be begun: then there may be more.
        _leave(endpoint, due=pending_of(endpoint).exists())
        return None
    delivery = event.delivery
    attempt = DeliveryAttempt.objects.create(delivery=delivery, number=delivery.attempts)
    return _try_of(endpoint, event, attempt.pk, ahead)


def _try_of(endpoint: WebhookEndpoint, event: Event, attempt_id: UUID, ahead: deque[Event]) -> Try:
    made, problem = None, ""
    try:
        made = post_of(endpoint, event)
    except SealBroken as error:
        problem = str(error)
    return Try(endpoint, event.delivery.pk, attempt_id, made, problem, ahead)


def _oldest(endpoint: WebhookEndpoint, ahead: deque[Event]) -> Event | None:
    """What is to be tried now, its try counted: the first of what was read ahead, or read anew
    where that is used up or something else has become the oldest."""
    if not ahead or not _count_try(endpoint, ahead[0].delivery):
        ahead.clear()
        ahead.extend(events_of(endpoint, pending_of(endpoint)[:READ_AHEAD]))
        if not ahead or not _count_try(endpoint, ahead[0].delivery):
            return None
    return ahead.popleft()


def _count_try(endpoint: WebhookEndpoint, delivery: Delivery) -> bool:
    """Count a try of the delivery if it is the oldest that is pending. The endpoint is locked."""
    oldest = Subquery(pending_of(endpoint).values("pk")[:1])
    row = Delivery.objects.filter(pk=delivery.pk).filter(pk=oldest)
    delivery.attempts += 1
    return bool(row.update(attempts=delivery.attempts))


def _fail(endpoint: WebhookEndpoint, answer: Answer) -> None:
    """Put the next try off, or switch the endpoint off."""
    now = clock()
    failures, since = endpoint.failures + 1, endpoint.failing_since or now
    _write(
        endpoint,
        failures=failures,
        failing_since=since,
        leased_until=None,
        due_at=now + wait_after(failures, longest=LONGEST_WAIT),
    )
    if not endpoint.is_enabled:
        return
    if answer.status == GONE:
        disable(endpoint, DisabledBecause.GONE, answer.problem)
    elif now - since >= PATIENCE:
        disable(endpoint, DisabledBecause.FAILING, answer.problem)


def _leave(endpoint: WebhookEndpoint, *, due: bool) -> None:
    """Let go of the lease; the next worker goes on at once if something is due."""
    _write(endpoint, leased_until=None, due_at=ClockTimestamp() if due else None)


def _write(endpoint: WebhookEndpoint, **fields: Any) -> None:
    WebhookEndpoint.objects.filter(pk=endpoint.pk).update(**fields)


def _ask(under_way: Try, over: Kept) -> tuple[Answer, int]:
    """Post it, without a connection to the database; the answer, and how long it took."""
    if under_way.post is None:
        return Answer(0, under_way.problem), 0
    if not connection.in_atomic_block:
        connection.close()
    begun = time.monotonic()
    answer = portal.submit(post(under_way.post, over)).result()
    return answer, round((time.monotonic() - begun) * 1000)
