"""The door of webhooks: what comes is checked in a fixed order, and then taken.

Rate of the address, known, enabled, size, signature, time, and whether it came before. Nothing of
the body is read before the first three.
"""

from __future__ import annotations

import asyncio
import time
from uuid import UUID

from asgiref.sync import sync_to_async
from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers

from agents.errors import Refusal
from agents.rest import late_body, throttle
from agents.rest.plain_views import Operation, documented
from agents.rest.rates import Rate
from agents.rest.waiting import few_at_once, leave_thread
from agents.sealing import SealBroken
from agents.signing import secrets_of
from agents.watching.loops import PerLoop
from boards.actions import payloads
from boards.actions.webhooks import WebhookNotFound
from boards.hooks import signatures
from boards.hooks.requests import read_delivery
from boards.models import Webhook

# Of each address. Without Redis nobody is refused for it: the signature still guards.
RATE = Rate("hooks", 60)
# Deliveries that are taken at once in one process, each with a thread and a connection.
AT_ONCE = 8

door = PerLoop(lambda: asyncio.Semaphore(AT_ONCE))


class WebhookDisabled(Refusal):
    """The webhook is switched off."""

    code = "WEBHOOK_DISABLED"
    status_code = 410


class WebhookSecretUnreadable(Refusal):
    """The secret of the webhook cannot be read here; its operators have to give it anew."""

    code = "WEBHOOK_SECRET_UNREADABLE"
    status_code = 503
    retryable = True


class TakenSerializer(serializers.Serializer[object]):
    """Where what was delivered is kept; `duplicate` says that it had been taken before."""

    payload_id = serializers.UUIDField()
    duplicate = serializers.BooleanField()


async def _receive(request: HttpRequest, webhook_id: str) -> HttpResponse:
    """Take what somebody outside delivers to a board."""
    try:
        webhook = await sync_to_async(_admitted)(request, webhook_id)
    finally:
        await leave_thread()
    body = await late_body.read(request, settings.API_BODY_LIMIT)
    _check_signature(webhook, request, body)
    delivery = read_delivery(request, webhook, body)
    payload, is_new = await few_at_once(door(), lambda: payloads.take(webhook, delivery))
    told = {"payload_id": str(payload.id), "duplicate": not is_new}
    return JsonResponse(told, status=202 if is_new else 200)


def _admitted(request: HttpRequest, webhook_id: str) -> Webhook:
    """The webhook that may be delivered to: one look at Redis, one at the database."""
    throttle.admit_address(request, RATE)
    webhook = _known(webhook_id)
    if webhook is None:
        raise WebhookNotFound
    if not webhook.is_enabled:
        raise WebhookDisabled
    return webhook


def _known(webhook_id: str) -> Webhook | None:
    try:
        key = UUID(webhook_id)
    except ValueError:
        return None
    rows = Webhook.objects.select_related("board__organization", "start_agent")
    return rows.filter(pk=key).first()


def _check_signature(webhook: Webhook, request: HttpRequest, body: bytes) -> None:
    if not webhook.is_signed:
        return
    try:
        secrets = secrets_of(webhook)
    except SealBroken as error:
        raise WebhookSecretUnreadable from error
    signatures.check(secrets, webhook.signature_header, request.headers, body, time.time())


receive_hook = documented(
    _receive,
    post=Operation(
        operation_id="hooks_receive",
        summary="Deliver something to a board's webhook",
        description="Nobody is asked who they are; where the webhook has a secret, an HMAC-SHA256 "
        "of the raw body by it has to be in `X-Hub-Signature-256`, `X-Signalbox-Signature` or the "
        "header that the webhook names (hex, with `sha256=` before it or not), or a signature of "
        "Standard Webhooks in `webhook-signature`.\n\nAny content type, up to 1 MiB. In this "
        "order: 429 after 60 requests a minute of one address, 404 `WEBHOOK_NOT_FOUND`, 410 "
        "`WEBHOOK_DISABLED`, 413 `BODY_TOO_LARGE`, 403 `SIGNATURE_INVALID`, 403 `TIMESTAMP_STALE` "
        "more than 5 minutes off. 200 with `duplicate` for a delivery id that was taken before "
        "(`webhook-id`, `X-GitHub-Delivery`, `X-Signalbox-Delivery` or the header that the webhook "
        "names); nothing is done again.",
        request={"application/json": OpenApiTypes.OBJECT, "application/octet-stream": bytes},
        responses={202: TakenSerializer, 200: TakenSerializer},
        parameters=[
            OpenApiParameter(name, str, OpenApiParameter.HEADER, description=text, required=False)
            for name, text in (
                ("X-Hub-Signature-256", "`sha256=` and the HMAC of the body in hex."),
                ("X-Signalbox-Signature", "The same."),
                ("webhook-id", "The delivery's id; with the two below, by Standard Webhooks."),
                ("webhook-timestamp", "Seconds since 1970."),
                ("webhook-signature", "`v1,` and the signature in base64; several with spaces."),
                ("X-GitHub-Delivery", "The delivery's id."),
                ("X-Signalbox-Delivery", "The delivery's id."),
            )
        ],
        problems=(400, 403, 404, 410, 413, 503),
        is_public=True,
    ),
)
