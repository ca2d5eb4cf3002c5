"""What follows when a message has reached its recipient, or never will."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from agents import hearing
from agents.activity import Actor, Target, record_all, unsaved
from agents.models import Activity, ActorKind, Message, MessageKind, MessageState
from agents.redis import publish_all

# How the permanent record calls the sending of these; of others it tells only what failed.
_CALLED = {
    MessageKind.NUDGE: "agent.nudge",
    MessageKind.LEAD_QUESTION: "lead.message",
    MessageKind.LEAD_HANDOFF: "lead.message",
    MessageKind.BROADCAST: "lead.message",
}
SETTLED_FIELDS = ["state", "due_at", "failure", "delivered_at", "gateway"]


def note_delivered(*messages: Message) -> None:
    """Set the fields of messages that are delivered, and tell of it; the caller saves them.

    Within a transaction, under the lock of the messages or before they are there.
    """
    for message in messages:
        message.state, message.due_at, message.failure = MessageState.DELIVERED, None, ""
        message.delivered_at = timezone.now()
    called = [each for each in messages if MessageKind(each.kind) in _CALLED]
    record_all([_line(each, f"{_CALLED[MessageKind(each.kind)]}.sent") for each in called])
    _tell_on_commit([each for each in messages if each.recipient_id is not None])


def note_failed(*messages: Message, problem: str) -> None:
    """The same of messages that are given up, until somebody sends them again."""
    for message in messages:
        message.state, message.due_at, message.failure = MessageState.FAILED, None, problem
    called = [(each, _CALLED.get(MessageKind(each.kind), "message")) for each in messages]
    record_all([_line(each, f"{name}.failed") for each, name in called])


def inbox_channel(agent_id: UUID) -> str:
    """Where it is told that something came into an agent's inbox."""
    return f"signalbox:inbox:{agent_id}"


def _tell_on_commit(messages: Sequence[Message]) -> None:
    channels = [inbox_channel(each.recipient_id) for each in messages if each.recipient_id]
    if channels:
        transaction.on_commit(partial(publish_all, channels, {}), robust=True)
    for message in messages:
        hearing.tell_on_commit(message)


def _line(message: Message, event: str) -> Activity:
    by = Actor(ActorKind(message.sender_kind), message.sender_id, message.sender_name)
    about = Target(message.recipient_id, message.board_id, message.task_id, message.execution_id)
    return unsaved(
        message.organization_id,
        event,
        by=by,
        target=about,
        kind=message.kind,
        message_id=str(message.id),
        correlation_id=message.correlation_id,
    )
