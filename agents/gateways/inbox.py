"""The default gateway: a message waits here until its recipient fetches it."""

from agents.models import Message


class Inbox:
    """Delivers by being there: the row is what the recipient reads once it is committed."""

    def deliver(self, message: Message) -> None:
        pass
