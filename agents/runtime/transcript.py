"""The conversation of a run: its messages, what of it is open, and the order they are sent in."""

from __future__ import annotations

from collections.abc import Sequence

from agents.runtime import compaction
from agents.runtime.facts import Message, Role, ToolRequest

# How a note begins that sends an output back.
REJECTION = "Your answer does not fit the required output."


class Transcript:
    """The conversation so far, what of it is still open, and how long its tokens are."""

    def __init__(self, messages: Sequence[Message], *, turn: int) -> None:
        self.messages = list(messages)
        self.turn = turn
        self.characters_a_token = compaction.USUAL_CHARACTERS

    def add(self, message: Message) -> None:
        self.messages.append(message)

    @property
    def reply(self) -> Message | None:
        """The last message when it is a reply without tool calls: a final answer."""
        last = self.messages[-1] if self.messages else None
        if last is None or last.role is not Role.ASSISTANT or last.tool_requests:
            return None
        return last

    def open_requests(self) -> list[ToolRequest]:
        """The calls of the last reply that have no result yet, in the order asked."""
        answered: set[str] = set()
        for message in reversed(self.messages):
            if message.role is Role.TOOL_RESULT:
                answered.add(message.call_id)
            elif message.role is Role.ASSISTANT:
                return [r for r in message.tool_requests if r.call_id not in answered]
        return []

    def shorten(self, summary: str, kept: int) -> None:
        """Go on with a summary of all but the first and the `kept` newest messages."""
        self.messages = compaction.shortened(in_order(self.messages), summary, kept)

    def count_rejections(self) -> int:
        """How often the output was sent back, in a row, up to now."""
        return sum(
            1
            for message in self.messages
            if message.role is Role.USER and message.content.startswith(REJECTION)
        )


def in_order(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages with results right behind their calls, as every provider demands.

    What a person said in the middle of a turn comes after the turn's last result.
    """
    ordered: list[Message] = []
    held: list[Message] = []
    missing: set[str] = set()
    for message in messages:
        if message.role is Role.USER and missing:
            held.append(message)
            continue
        ordered.append(message)
        if message.role is Role.ASSISTANT:
            missing = {request.call_id for request in message.tool_requests}
        missing.discard(message.call_id)
        if not missing:
            ordered += held
            held = []
    return (*ordered, *held)
