"""Creates, changes and deletes endpoints, and has what they were told sent again."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from uuid_utils.compat import uuid7

from agents import hints
from agents.activity import SYSTEM, Actor, record
from agents.clock import ClockTimestamp
from agents.commit_order import transactions
from agents.errors import Refusal
from agents.messages import Letter, notify
from agents.models import (
    Delivery,
    DeliveryAttempt,
    DeliveryState,
    DisabledBecause,
    MessageKind,
    Organization,
    WebhookEndpoint,
)
from agents.signing import give_secret, rotate_secret
from agents.watching.places import Place

MOST_ENDPOINTS = 50
REDELIVERED_AT_ONCE = 10_000


class EndpointNotFound(Refusal):
    """There is no such endpoint in this organization."""

    code = "ENDPOINT_NOT_FOUND"
    status_code = 404


class TooManyEndpoints(Refusal):
    """The organization has as many endpoints as one may have; delete one first."""

    code = "TOO_MANY_ENDPOINTS"


class EndpointDisabled(Refusal):
    """The endpoint is switched off; switch it on first."""

    code = "ENDPOINT_DISABLED"


class DeliveryPending(Refusal):
    """It is still to be delivered, and is tried without being asked for."""

    code = "DELIVERY_PENDING"


class DeliveryNotPending(Refusal):
    """Only what is still to be delivered can be given up."""

    code = "DELIVERY_NOT_PENDING"


@transaction.atomic
def create_endpoint(
    organization: Organization, fields: Mapping[str, Any], *, by: Actor
) -> WebhookEndpoint:
    """An endpoint that is told of what is committed from now on, with its `secret` in the clear.

    Raises TooManyEndpoints.
    """
    # Of two at once the second sees what the first has made.
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    if WebhookEndpoint.objects.filter(organization=organization).count() >= MOST_ENDPOINTS:
        raise TooManyEndpoints(limit=MOST_ENDPOINTS)
    # Before all that is still under way: it may be told of a line too many, and of none too few.
    begin = Place.before(transactions()[0])
    endpoint = WebhookEndpoint(
        organization=organization, cursor_xact=begin.xact, cursor_id=begin.id, **fields
    )
    give_secret(endpoint)
    endpoint.save(force_insert=True)
    _tell("webhook_endpoint.created", endpoint, by)
    return endpoint


@transaction.atomic
def change_endpoint(
    endpoint: WebhookEndpoint, changes: Mapping[str, Any], *, by: Actor
) -> WebhookEndpoint:
    """Change an endpoint. Switched off it keeps its place; switched on it goes on from there.

    Raises EndpointNotFound.
    """
    locked = _locked(endpoint)
    changed = {name: value for name, value in changes.items() if getattr(locked, name) != value}
    if not changed:
        return locked
    for name, value in changed.items():
        setattr(locked, name, value)
    begun = (
        _begin_anew(locked) if locked.is_enabled and {"url", "is_enabled"} & set(changed) else []
    )
    if "url" in changed:
        # What the old address still answers is not the new one's doing.
        locked.claim, locked.leased_until = locked.claim + 1, None
        begun = [*begun, "claim", "leased_until"]
    locked.save(update_fields=[*changed, *begun, "updated_at"])
    _tell("webhook_endpoint.updated", locked, by, changed=sorted(changed))
    hint_on_commit(locked.pk)
    return locked


@transaction.atomic
def rotate_endpoint_secret(endpoint: WebhookEndpoint, *, by: Actor) -> WebhookEndpoint:
    """Another `secret`, in the clear this once; the old one signs too for 24 hours.

    Raises EndpointNotFound.
    """
    locked = _locked(endpoint)
    locked.save(update_fields=[*rotate_secret(locked), "updated_at"])
    _tell("webhook_endpoint.secret_rotated", locked, by)
    return locked


@transaction.atomic
def delete_endpoint(endpoint: WebhookEndpoint, *, by: Actor) -> None:
    """Remove an endpoint with its deliveries. Raises EndpointNotFound."""
    locked = _locked(endpoint)
    _tell("webhook_endpoint.deleted", locked, by)
    # Two statements, where Django would read every delivery first.
    DeliveryAttempt.objects.filter(delivery__endpoint=locked).delete()
    deliveries = Delivery.objects.filter(endpoint=locked)
    deliveries._raw_delete(deliveries.db)
    locked.delete()


@transaction.atomic
def ping(endpoint: WebhookEndpoint, *, by: Actor) -> Delivery:
    """Have something delivered that no line tells of, and what is pending before it at once.

    Raises EndpointNotFound and EndpointDisabled.
    """
    locked = _locked_and_enabled(endpoint)
    made = Delivery.objects.create(
        endpoint=locked, event_id=uuid7(), xact=locked.cursor_xact, type=Delivery.PING
    )
    _try_at_once(locked)
    return made


@transaction.atomic
def redeliver(delivery: Delivery, *, by: Actor) -> Delivery:
    """Have one sent again that was delivered, or given up; its id stays.

    Raises EndpointNotFound, EndpointDisabled and DeliveryPending.
    """
    locked = _locked_and_enabled(delivery.endpoint)
    if not _put_back(locked, Delivery.objects.filter(pk=delivery.pk)):
        raise DeliveryPending
    _tell("webhook_endpoint.redelivered", locked, by, delivery_id=str(delivery.pk))
    delivery.refresh_from_db()
    return delivery


@transaction.atomic
def redeliver_failed(endpoint: WebhookEndpoint, since: datetime | None = None, *, by: Actor) -> int:
    """Have all sent again that were given up, or those since then, the oldest 10,000; how many.

    Raises EndpointNotFound and EndpointDisabled.
    """
    locked = _locked_and_enabled(endpoint)
    failed = locked.deliveries.filter(state=DeliveryState.FAILED)
    if since is not None:
        failed = failed.filter(created_at__gte=since)
    oldest = failed.order_by("id").values_list("pk", flat=True)[:REDELIVERED_AT_ONCE]
    count = _put_back(locked, Delivery.objects.filter(pk__in=list(oldest)))
    if count:
        _tell("webhook_endpoint.redelivered", locked, by, count=count)
    return count


@transaction.atomic
def give_up(delivery: Delivery, *, by: Actor) -> Delivery:
    """Stop trying one that the other side will never take; what comes after it is tried at once.

    Raises EndpointNotFound and DeliveryNotPending.
    """
    locked = _locked(delivery.endpoint)
    pending = Delivery.objects.filter(pk=delivery.pk, state=DeliveryState.PENDING)
    if not pending.update(state=DeliveryState.FAILED):
        raise DeliveryNotPending
    _try_at_once(locked)
    delivery.refresh_from_db()
    return delivery


def disable(locked: WebhookEndpoint, because: DisabledBecause, problem: str) -> None:
    """Switch off an endpoint that is locked, give up what is pending, and alert its people."""
    given_up = pending_of(locked).update(state=DeliveryState.FAILED)
    locked.is_enabled, locked.disabled_because = False, because
    locked.due_at = locked.leased_until = None
    locked.save(
        update_fields=["is_enabled", "disabled_because", "due_at", "leased_until", "updated_at"]
    )
    # What the other side said is for operators, not for the record that agents read too.
    facts = {"because": str(because), "given_up": given_up}
    _tell("webhook_endpoint.disabled", locked, SYSTEM, **facts)
    words = (
        f"The webhook endpoint {locked.name} was switched off. {because.label}: {problem} "
        f"{given_up} deliveries were given up. Once it works again, switch it on and have them "
        "sent again."
    )
    facts = {"endpoint_id": str(locked.pk), **facts}
    notify(locked.organization, Letter(MessageKind.ALERT, words, facts=facts), by=SYSTEM)


def pending_of(endpoint: WebhookEndpoint) -> QuerySet[Delivery]:
    """What is still to be delivered, in the order of events."""
    rows = Delivery.objects.filter(endpoint=endpoint, state=DeliveryState.PENDING)
    return rows.order_by("xact", "event_id")


def hint(endpoint_id: UUID) -> None:
    """Wake a worker for an endpoint."""
    hints.send("agents.tasks.deliver_to_endpoint", endpoint_id, queue="deliveries")


def hint_on_commit(endpoint_id: UUID) -> None:
    """The same once the transaction is committed."""
    transaction.on_commit(partial(hint, endpoint_id), robust=True)


def _put_back(locked: WebhookEndpoint, rows: QuerySet[Delivery]) -> int:
    again = rows.exclude(state=DeliveryState.PENDING)
    count = again.update(state=DeliveryState.PENDING, delivered_at=None)
    if count:
        _try_at_once(locked)
    return count


def _try_at_once(locked: WebhookEndpoint) -> None:
    # The change tells a claim that what it has read ahead may not be the oldest any more.
    locked.save(update_fields=[*_begin_anew(locked), "updated_at"])
    hint_on_commit(locked.pk)


def _begin_anew(locked: WebhookEndpoint) -> list[str]:
    """Forget the failures of a locked row, and have the oldest tried now; the fields to save."""
    locked.disabled_because, locked.failures, locked.failing_since = "", 0, None
    locked.due_at = ClockTimestamp() if pending_of(locked).exists() else None
    return ["disabled_because", "failures", "failing_since", "due_at"]


def _locked(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    rows = WebhookEndpoint.objects.select_for_update(no_key=True, of=("self",))
    locked = rows.select_related("organization").filter(pk=endpoint.pk).first()
    if locked is None:
        raise EndpointNotFound
    return locked


def _locked_and_enabled(endpoint: WebhookEndpoint) -> WebhookEndpoint:
    locked = _locked(endpoint)
    if not locked.is_enabled:
        raise EndpointDisabled
    return locked


def _tell(event: str, endpoint: WebhookEndpoint, by: Actor, **facts: Any) -> None:
    record(
        endpoint.organization_id,
        event,
        by=by,
        endpoint_id=str(endpoint.id),
        name=endpoint.name,
        **facts,
    )
