"""Reads from a request to a webhook what is kept of it: a delivery without its secrets."""

from __future__ import annotations

import hashlib
import re
from ipaddress import ip_address

from django.http import HttpRequest

from agents.rest.addresses import address_of
from boards.actions.payloads import Delivery
from boards.hooks.words import storable
from boards.models import Webhook

# Where senders name their deliveries, in this order.
DELIVERY_HEADERS = ("webhook-id", "x-github-delivery", "x-signalbox-delivery")
_LONGEST_ID = 255
_MOST_HEADERS = 50
_LONGEST_HEADER = 500
_KEPT = re.compile(r"content-type|user-agent|webhook-.+|x-.+|authorization|cookie")
_SECRET = re.compile(r"auth|cookie|signature|token|secret|key|passw|credential|session")
REDACTED = "[redacted]"


def read_delivery(request: HttpRequest, webhook: Webhook, body: bytes) -> Delivery:
    """The request as it is kept."""
    return Delivery(
        id=_delivery_id(request, webhook),
        body=body,
        content_type=storable(request.META.get("CONTENT_TYPE", ""))[:200],
        headers=_headers(request, webhook),
        address=_address(request),
    )


def _delivery_id(request: HttpRequest, webhook: Webhook) -> str:
    names = (webhook.delivery_header,) if webhook.delivery_header else DELIVERY_HEADERS
    found = next((request.headers[name] for name in names if request.headers.get(name)), "")
    if len(found) > _LONGEST_ID:
        return f"sha256:{hashlib.sha256(found.encode(errors='replace')).hexdigest()}"
    return storable(found)


def _headers(request: HttpRequest, webhook: Webhook) -> dict[str, str]:
    """Those that say what came, and that more came; of what vouches for it nothing but that."""
    named = {webhook.signature_header.lower(), webhook.delivery_header.lower()}
    kept = {
        name: storable(text)[:_LONGEST_HEADER]
        for name, text in ((name.lower(), text) for name, text in request.headers.items())
        if name in named or _KEPT.fullmatch(name)
    }
    secret = {name for name in kept if _SECRET.search(name)} | {webhook.signature_header.lower()}
    return {
        name: REDACTED if name in secret else kept[name] for name in sorted(kept)[:_MOST_HEADERS]
    }


def _address(request: HttpRequest) -> str | None:
    """Where it came from; of IPv6 the network, as it is counted."""
    try:
        return str(ip_address(address_of(request).partition("/")[0]))
    except ValueError:
        return None
