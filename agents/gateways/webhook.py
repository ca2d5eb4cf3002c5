"""The gateway that posts a message to an address, signed by Standard Webhooks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from django.utils import timezone
from rest_framework.utils.encoders import JSONEncoder

from agents.gateways.failures import DeliveryFailed
from agents.models import Gateway, Message
from agents.posting import Post, post
from agents.runtime.tools.connecting import Kept
from agents.sealing import SealBroken
from agents.signing import secrets_of, signed_headers


class Webhook:
    """Delivers by a POST that any 2xx takes. `webhook-id` is the message's id at every try."""

    is_immediate = False

    async def deliver(self, gateway: Gateway, message: Message, over: Kept) -> None:
        told = {"type": f"message.{message.kind}", "data": _shown(message)}
        await _post(gateway, str(message.id), told, over)

    async def check(self, gateway: Gateway, over: Kept) -> None:
        moment = timezone.now()
        told = {"type": "gateway.check", "data": {"at": moment}}
        await _post(gateway, f"check_{moment:%Y%m%d%H%M%S%f}", told, over)


async def _post(gateway: Gateway, key: str, told: Mapping[str, Any], over: Kept) -> None:
    moment = timezone.now()
    body = json.dumps({**told, "timestamp": moment}, cls=JSONEncoder).encode()
    try:
        secrets = secrets_of(gateway)
    except SealBroken as error:
        raise DeliveryFailed(str(error)) from error
    headers = signed_headers(secrets, key, int(moment.timestamp()), body)
    answer = await post(Post(gateway.url, headers, body), over)
    if not answer.is_taken:
        raise DeliveryFailed(answer.problem)


def _shown(message: Message) -> dict[str, Any]:
    """The message as its recipient's inbox shows it, and who that is."""
    return {
        "id": message.id,
        "kind": message.kind,
        "sender": {
            "kind": message.sender_kind,
            "id": message.sender_id,
            "name": message.sender_name,
        },
        "recipient": {"id": message.recipient_id, "name": message.recipient_name},
        "content": message.content,
        "board": message.board_id,
        "task": message.task_id,
        "correlation_id": message.correlation_id,
        "data": message.data,
        "created_at": message.created_at,
    }
