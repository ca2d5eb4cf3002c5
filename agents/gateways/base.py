"""What a gateway does, and which adapter does it for which kind."""

from typing import Protocol

from agents.gateways import inbox, webhook
from agents.models import Gateway, GatewayKind, Message
from agents.runtime.tools.connecting import Kept


class Adapter(Protocol):
    """Delivers messages of one kind of gateway; runs on the loop of the portal, without rows.

    `over` has the connections that are kept from one message to the next.
    """

    # Whether a message is delivered by being written: then nothing is asked to deliver it.
    is_immediate: bool

    async def deliver(self, gateway: Gateway, message: Message, over: Kept) -> None:
        """Hand the message over, at least once. Raises `DeliveryFailed`."""

    async def check(self, gateway: Gateway, over: Kept) -> None:
        """See whether the other side answers. Raises `DeliveryFailed`."""


ADAPTERS: dict[str, Adapter] = {
    GatewayKind.INBOX: inbox.Inbox(),
    GatewayKind.WEBHOOK: webhook.Webhook(),
}


def adapter_of(gateway: Gateway | None) -> Adapter:
    """Whoever has no gateway is reached by the inbox."""
    return ADAPTERS[gateway.kind if gateway else GatewayKind.INBOX]
