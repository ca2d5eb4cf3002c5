"""What follows when a message has reached its recipient, or never will."""

from __future__ import annotations

from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agents import hearing
from agents.activity import Actor, Target, record
from agents.models import ActorKind, Message, MessageKind, MessageState
from agents.redis import publish

# How the permanent record calls the sending of these; of others it tells only what failed.
_CALLED = {
    MessageKind.NUDGE: "agent.nudge",
    MessageKind.LEAD_QUESTION: "lead.message",
    MessageKind.LEAD_HANDOFF: "lead.message",
    MessageKind.BROADCAST: "lead.message",
}
SETTLED_FIELDS = ["state", "due_at", "failure", "delivered_at", "gateway"]


def note_delivered(message: Message) -> None:
    """Set the fields of a message that is delivered, and tell of it; the caller saves them.

    Within a transaction, under the lock of the message or before it is there.
    """
    message.state, message.due_at, message.failure = MessageState.DELIVERED, None, ""
    message.delivered_at = timezone.now()
    if name := _CALLED.get(MessageKind(message.kind)):
        _record(message, f"{name}.sent")
    if message.recipient_id is not None:
        ring = partial(publish, inbox_channel(message.recipient_id), {})
        transaction.on_commit(ring, robust=True)
        hearing.tell_on_commit(message)


def note_failed(message: Message, problem: str) -> None:
    """The same of a message that is given up, until somebody sends it again."""
    message.state, message.due_at, message.failure = MessageState.FAILED, None, problem
    name = _CALLED.get(MessageKind(message.kind), "message")
    _record(message, f"{name}.failed")


def inbox_channel(agent_id: UUID) -> str:
    """Where it is told that something came into an agent's inbox."""
    return f"signalbox:inbox:{agent_id}"


def _record(message: Message, event: str) -> None:
    by = Actor(ActorKind(message.sender_kind), message.sender_id, message.sender_name)
    about = Target(message.recipient_id, message.board_id, message.task_id, message.execution_id)
    record(
        message.organization_id,
        event,
        by=by,
        target=about,
        kind=message.kind,
        message_id=str(message.id),
        correlation_id=message.correlation_id,
    )
