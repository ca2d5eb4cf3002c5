"""What an endpoint is sent: the body of an event, signed by Standard Webhooks."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone
from rest_framework.utils.encoders import JSONEncoder

from agents.models import Activity, Delivery, WebhookEndpoint
from agents.posting import Post
from agents.serializers import ActivitySerializer
from agents.signing import secrets_of, signed_headers


def post_of(endpoint: WebhookEndpoint, delivery: Delivery) -> Post:
    """The post of a delivery as it is signed now. Raises `SealBroken`.

    Body and `webhook-id` are the same at every try: a line of the record never changes.
    """
    body = json.dumps(_told(endpoint, delivery), cls=JSONEncoder).encode()
    moment = int(timezone.now().timestamp())
    headers = signed_headers(secrets_of(endpoint), str(delivery.pk), moment, body)
    return Post(endpoint.url, headers, body)


def _told(endpoint: WebhookEndpoint, delivery: Delivery) -> dict[str, Any]:
    if delivery.type == Delivery.PING:
        return {
            "type": Delivery.PING,
            "timestamp": delivery.created_at,
            "data": {"endpoint": endpoint.pk, "organization": endpoint.organization_id},
        }
    line = Activity.objects.get(pk=delivery.event_id)
    shown = dict(ActivitySerializer(line).data)
    told = {"type": shown.pop("type"), "timestamp": shown.pop("created_at")}
    return {**told, "data": {"organization": line.organization_id, **shown}}
