"""What an endpoint is sent: the body of an event, signed by Standard Webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from rest_framework.utils.encoders import JSONEncoder

from agents.models import Activity, Delivery, WebhookEndpoint
from agents.posting import Post
from agents.serializers import ActivitySerializer
from agents.signing import secrets_of, signed_headers


@dataclass(frozen=True, slots=True)
class Event:
    """A delivery, and what is told by it: the same at every try, since lines never change."""

    delivery: Delivery
    body: bytes


def events_of(endpoint: WebhookEndpoint, deliveries: Iterable[Delivery]) -> list[Event]:
    """The deliveries with their bodies; the lines of the record are read at once."""
    rows = list(deliveries)
    lines = list(Activity.objects.filter(pk__in=[each.event_id for each in rows]))
    # Shown together, since it costs more to make a serializer than to use it.
    shown = ActivitySerializer(lines, many=True).data
    told = {line.pk: _told(line, each) for line, each in zip(lines, shown, strict=True)}
    bodies = (
        _ping(endpoint, row) if row.type == Delivery.PING else told[row.event_id] for row in rows
    )
    return [
        Event(row, json.dumps(body, cls=JSONEncoder).encode())
        for row, body in zip(rows, bodies, strict=True)
    ]


def post_of(endpoint: WebhookEndpoint, event: Event) -> Post:
    """The post of an event as it is signed now. Raises `SealBroken`."""
    moment = int(timezone.now().timestamp())
    headers = signed_headers(secrets_of(endpoint), str(event.delivery.pk), moment, event.body)
    return Post(endpoint.url, headers, event.body)


def _told(line: Activity, shown: Mapping[str, Any]) -> dict[str, Any]:
    rest = {**shown}
    told = {"type": rest.pop("type"), "timestamp": rest.pop("created_at")}
    return {**told, "data": {"organization": line.organization_id, **rest}}


def _ping(endpoint: WebhookEndpoint, delivery: Delivery) -> dict[str, Any]:
    return {
        "type": Delivery.PING,
        "timestamp": delivery.created_at,
        "data": {"endpoint": endpoint.pk, "organization": endpoint.organization_id},
    }
