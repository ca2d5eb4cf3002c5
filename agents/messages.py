"""Writes, delivers and acknowledges messages: the one door to whoever is told something."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from agents.activity import Actor, Target, record
from agents.errors import AgentNotFound, GatewayFailed, GatewayUnreachable, NotFailed
from agents.gateways.base import ADAPTERS, DeliveryFailed
from agents.models import (
    Agent,
    Audience,
    Gateway,
    GatewayKind,
    Message,
    MessageKind,
    MessageState,
    Organization,
)
from agents.redis import publish


@dataclass(frozen=True, slots=True)
class Letter:
    """What is said, and what about; without a recipient it is for the organization's people."""

    kind: MessageKind
    content: str
    recipient: Agent | None = None
    about: Target = field(default_factory=Target)
    correlation_id: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@transaction.atomic
def send(organization: Organization, letter: Letter, *, by: Actor) -> Message:
    """Write a message and hand it to its recipient's gateway.

    Raises `GatewayUnreachable` where that is switched off, and `GatewayFailed` where it did not
    take the message: pass that to `keep_failed` once the transaction has been undone.
    """
    gateway = _gateway_of(letter)
    if gateway is not None and not gateway.is_enabled:
        raise GatewayUnreachable
    message = _write(organization, letter, by)
    try:
        ADAPTERS[gateway.kind if gateway else GatewayKind.INBOX].deliver(message)
    except DeliveryFailed as error:
        raise _failed(organization, letter, by) from error
    return message


def _failed(organization: Organization, letter: Letter, by: Actor) -> GatewayFailed:
    refusal = GatewayFailed()
    refusal.keep = partial(_write, organization, letter, by, failure=str(refusal.detail))
    return refusal


def keep_failed(refusal: GatewayFailed) -> None:
    """Keep what was not delivered as a failed message, which can be sent again."""
    refusal.keep()


@transaction.atomic
def notify(organization: Organization, letter: Letter, *, by: Actor) -> Message:
    """Tell somebody of what happened, which has happened whether or not it reaches them.

    A message that cannot be delivered is kept as failed, and says why.
    """
    try:
        with transaction.atomic():
            return send(organization, letter, by=by)
    except (GatewayUnreachable, GatewayFailed) as refusal:
        return _write(organization, letter, by, failure=str(refusal.detail))


@transaction.atomic
def resend(message: Message, *, by: Actor) -> Message:
    """Try a failed message again, through the gateway that its recipient has now.

    Raises NotFailed, AgentNotFound where the recipient is gone, and what `send` raises; the
    message stays failed then.
    """
    locked = Message.objects.select_for_update(of=("self",)).get(pk=message.pk)
    if locked.state != MessageState.FAILED:
        raise NotFailed(state=locked.state)
    if locked.audience == Audience.AGENT and locked.recipient is None:
        raise AgentNotFound
    locked.gateway = locked.recipient.gateway if locked.recipient else None
    if locked.gateway is not None and not locked.gateway.is_enabled:
        raise GatewayUnreachable
    try:
        ADAPTERS[locked.gateway.kind if locked.gateway else GatewayKind.INBOX].deliver(locked)
    except DeliveryFailed as error:
        raise GatewayFailed from error
    locked.state, locked.delivered_at, locked.failure = MessageState.DELIVERED, timezone.now(), ""
    locked.attempts += 1
    locked.save(update_fields=["state", "delivered_at", "failure", "attempts", "gateway"])
    _ring_on_commit(locked)
    about = Target(locked.recipient_id, locked.board_id, locked.task_id, locked.execution_id)
    record(locked.organization_id, "message.sent_again", by=by, target=about, id=str(locked.id))
    return locked


def inbox_of(agent: Agent) -> QuerySet[Message]:
    """What the agent has been told and has not acknowledged, in no order."""
    return Message.objects.filter(recipient=agent, state=MessageState.DELIVERED)


@transaction.atomic
def acknowledge(message: Message, *, by: Agent) -> None:
    """Note that the recipient has read it; doing so again changes nothing."""
    mine = Message.objects.filter(pk=message.pk, recipient=by, state=MessageState.DELIVERED)
    mine.update(state=MessageState.ACKNOWLEDGED, acknowledged_at=timezone.now())


def _gateway_of(letter: Letter) -> Gateway | None:
    return letter.recipient.gateway if letter.recipient else None


def _write(organization: Organization, letter: Letter, by: Actor, failure: str = "") -> Message:
    recipient, about = letter.recipient, letter.about
    message = Message.objects.create(
        organization=organization,
        kind=letter.kind,
        audience=Audience.AGENT if recipient else Audience.PEOPLE,
        sender_kind=by.kind,
        sender_id=by.id,
        sender_name=by.name,
        recipient=recipient,
        recipient_name=recipient.name if recipient else "",
        gateway=_gateway_of(letter),
        board_id=about.board_id,
        task_id=about.task_id,
        execution_id=about.execution_id,
        correlation_id=letter.correlation_id,
        content=letter.content,
        data=letter.facts,
        state=MessageState.FAILED if failure else MessageState.DELIVERED,
        failure=failure,
        attempts=1,
        delivered_at=None if failure else timezone.now(),
    )
    if not failure:
        _ring_on_commit(message)
    return message


def inbox_channel(agent_id: UUID) -> str:
    """Where it is told that something came into an agent's inbox."""
    return f"signalbox:inbox:{agent_id}"


def _ring_on_commit(message: Message) -> None:
    if message.recipient_id is not None:
        ring = partial(publish, inbox_channel(message.recipient_id), {})
        transaction.on_commit(ring, robust=True)
