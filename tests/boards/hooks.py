"""Senders of webhooks: what they sign is computed here, by nothing of Signalbox."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from rest_framework.test import APIClient
from standardwebhooks import Webhook as Signer

from agents.activity import SYSTEM
from boards.actions.webhooks import create_webhook
from boards.models import Board, Webhook
from tests.factories import API

# What a sender is given once; also a key of Standard Webhooks.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TEXT = "It's owls all the way down."
BODY = json.dumps({"action": "opened", "issue": {"title": "Owls", "labels": ["a", "b"]}}).encode()


def make_hook(
    board: Board, *, secret: str = SECRET, is_signed: bool = True, **fields: Any
) -> Webhook:
    given = {"name": "From outside", **fields}
    return create_webhook(board, given, by=SYSTEM, secret=secret, is_signed=is_signed)


def hmac_hex(body: bytes, secret: str = SECRET) -> str:
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


def github(body: bytes, secret: str = SECRET, delivery: str = "d-1") -> dict[str, str]:
    """The headers of GitHub."""
    return {
        "X-Hub-Signature-256": f"sha256={hmac_hex(body, secret)}",
        "X-GitHub-Delivery": delivery,
        "X-GitHub-Event": "issues",
    }


def standard(
    body: bytes, secret: str = SECRET, delivery: str = "msg_1", late: timedelta = timedelta()
) -> dict[str, str]:
    """The headers of Standard Webhooks, by the library of that name."""
    at = datetime.now(UTC) - late
    return {
        "webhook-id": delivery,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Signer(secret).sign(delivery, at, body.decode()),
    }


def deliver(
    webhook: Webhook | str,
    body: bytes = BODY,
    headers: dict[str, str] | None = None,
    content_type: str = "application/json",
) -> Any:
    """The answer to a delivery, as anybody may make one."""
    key = webhook if isinstance(webhook, str) else webhook.id
    return APIClient().generic(
        "POST", f"{API}/hooks/{key}", body, content_type=content_type, headers=headers or {}
    )
