"""Makes deliveries of the lines that an endpoint is told of.

Writing a line costs nothing for it: each endpoint has a place in the order of commits, and the
lines after it become deliveries in the transaction that moves the place on.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agents.actions.subscriptions import chosen
from agents.clock import ClockTimestamp
from agents.commit_order import between, transactions
from agents.models import Activity, Delivery, WebhookEndpoint
from agents.watching.places import Place

PAGE = 500
# What is older is neither delivered nor kept as a delivery.
KEPT = timedelta(days=30)


@transaction.atomic
def fan_out(endpoint_id: UUID) -> bool:
    """Make deliveries of the next lines; whether there may be more of them."""
    rows = WebhookEndpoint.objects.select_for_update(skip_locked=True, no_key=True)
    endpoint = rows.filter(pk=endpoint_id, is_enabled=True).first()
    if endpoint is None:
        return False
    after = Place(endpoint.cursor_xact, endpoint.cursor_id)
    until = Place.before(transactions()[0])
    if until <= after:
        return False
    lines = _lines(endpoint, after, until)
    made = _insert(endpoint, lines)
    is_full = len(lines) == PAGE
    reached = Place(lines[-1].xact, lines[-1].id) if is_full else until
    moved: dict[str, Any] = {"cursor_xact": reached.xact, "cursor_id": reached.id}
    if made and endpoint.due_at is None:
        moved["due_at"] = ClockTimestamp()
    WebhookEndpoint.objects.filter(pk=endpoint_id).update(**moved)
    return is_full


def _lines(endpoint: WebhookEndpoint, after: Place, until: Place) -> list[Activity]:
    told = Activity.objects.filter(
        organization_id=endpoint.organization_id, type__in=chosen(endpoint.types)
    )
    return list(between(told, after, until).only("xact", "type", "created_at")[:PAGE])


def _insert(endpoint: WebhookEndpoint, lines: list[Activity]) -> int:
    oldest = timezone.now() - KEPT
    made = [
        Delivery(endpoint=endpoint, event_id=line.id, xact=line.xact, type=line.type)
        for line in lines
        if line.created_at >= oldest
    ]
    Delivery.objects.bulk_create(made, ignore_conflicts=True)
    return len(made)
