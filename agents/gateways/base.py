"""What a gateway does, and which adapter does it for which kind."""

from typing import Protocol

from agents.gateways import inbox
from agents.models import GatewayKind, Message


class DeliveryFailed(Exception):
    """The other side did not take the message; says why, for operators only."""


class Adapter(Protocol):
    """Delivers messages of one kind of gateway."""

    def deliver(self, message: Message) -> None:
        """Hand the message over, at least once. Raises `DeliveryFailed`."""


ADAPTERS: dict[str, Adapter] = {GatewayKind.INBOX: inbox.Inbox()}
