"""Between entries as they are stored and messages as the runtime knows them."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from agents.runtime.facts import Message, Role, ToolRequest
from agents.runtime.transcript import Transcript
from executions import lines
from executions.models import EntryType, Execution

# What the content of a summary has besides its text: how many of the messages before it, the newest
# ones, go on being sent as they are.
KEPT = "kept"
# And that of a reply, where its model counted: how many characters of its conversation are a token.
CHARACTERS = "characters_a_token"

_TYPES = {
    Role.ASSISTANT: EntryType.LLM_CALL,
    Role.TOOL_RESULT: EntryType.TOOL_RESULT,
    Role.USER: EntryType.MESSAGE,
    Role.SYSTEM: EntryType.MESSAGE,
}


def content_of(message: Message) -> dict[str, Any]:
    """The stored form of a message; empty parts are left out."""
    content: dict[str, Any] = {"text": message.content}
    if message.tool_requests:
        content["tool_requests"] = [asdict(request) for request in message.tool_requests]
    if message.call_id:
        content |= {"call_id": message.call_id, "tool_name": message.tool_name}
    if message.raw is not None:
        content["raw"] = message.raw
    return content


def message_of(role: str, content: dict[str, Any]) -> Message:
    """The message that was stored with this role and content."""
    return Message(
        role=Role(role),
        content=content["text"],
        tool_requests=tuple(ToolRequest(**r) for r in content.get("tool_requests", ())),
        call_id=content.get("call_id", ""),
        tool_name=content.get("tool_name", ""),
        raw=content.get("raw"),
    )


class Line:
    """The end of an execution's line of entries, from which the next one is made."""

    def __init__(self, leaf: UUID | None) -> None:
        self.leaf = leaf

    def entry(
        self,
        message: Message,
        *,
        n: int,
        type: EntryType | None = None,  # noqa: A002  The entry's own word for it.
        usage: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        """The row of the `n`th new entry of a commit, which becomes the leaf."""
        row = {
            "n": n,
            "id": str(uuid7()),
            "parent_id": None if self.leaf is None else str(self.leaf),
            "type": str(type or _TYPES[message.role]),
            "role": str(message.role),
            "content": content_of(message),
            "usage": usage,
        }
        self.leaf = UUID(row["id"])  # type: ignore[arg-type]  # It is the string made above.
        return row


def load(execution: Execution) -> tuple[Transcript, Line]:
    """An execution's line in order as its model is sent it, a shared past included, and its end.

    A summary stands for what it sums up: all but the first message and those that it kept. How long
    the tokens are is what the last reply that was counted says.
    """
    rows = lines.rows(execution)
    transcript = Transcript([], turn=execution.turn)
    for _, _, role, text in rows:
        content = json.loads(text)
        if KEPT in content:
            transcript.shorten(content["text"], content[KEPT])
        else:
            transcript.add(message_of(role, content))
        transcript.characters_a_token = content.get(CHARACTERS, transcript.characters_a_token)
    return transcript, Line(rows[-1][1] if rows else None)
