"""The default gateway: a message waits here until its recipient fetches it."""

from agents.models import Gateway, Message
from agents.runtime.tools.connecting import Kept


class Inbox:
    """Delivers by being there: the row is what the recipient reads once it is committed."""

    is_immediate = True

    async def deliver(self, gateway: Gateway, message: Message, over: Kept) -> None:
        pass

    async def check(self, gateway: Gateway, over: Kept) -> None:
        pass
