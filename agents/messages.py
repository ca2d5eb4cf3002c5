"""Writes and acknowledges messages: the one door to whoever is told something."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from agents import outbox, receipts
from agents.activity import Actor, Target, record
from agents.clock import clock
from agents.errors import AgentNotFound, GatewayFailed, GatewayUnreachable, NotFailed
from agents.models import Agent, Audience, Message, MessageKind, MessageState, Organization
from agents.outbox import LEASE, deliver_before_commit


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
    """Write a message whose first try is the caller's, after its commit: `outbox.deliver_now`.

    Where its gateway delivers by writing, it is delivered. A caller that does not live to try
    leaves it to the outbox. Raises GatewayUnreachable where the gateway is switched off.
    """
    message = _unsaved(organization, letter, by)
    if _is_unreachable(message):
        raise GatewayUnreachable
    if outbox.is_immediate(message):
        receipts.note_delivered(message)
    else:
        message.due_at = clock() + LEASE
    message.attempts = 1
    message.save(force_insert=True)
    return message


def send_before_commit(organization: Organization, letter: Letter, *, by: Actor) -> Message:
    """Write and deliver a message within the caller's transaction: both or neither.

    Raises GatewayUnreachable, and GatewayFailed: give that to `keep_failed` once the transaction
    has been undone.
    """
    message = send(organization, letter, by=by)
    try:
        deliver_before_commit(message)
    except GatewayFailed as refusal:
        refusal.keep = partial(keep, organization, letter, str(refusal.detail), by=by)
        raise
    return message


def keep_failed(refusal: GatewayFailed) -> None:
    """Keep what was not delivered as a failed message, which can be sent again."""
    refusal.keep()


def notify(organization: Organization, letter: Letter, *, by: Actor) -> Message:
    """Tell somebody of what happened, which has happened whether or not it reaches them.

    The outbox delivers it after the commit. Where the gateway is switched off it is kept as
    failed, and says why.
    """
    (message,) = notify_all(organization, [letter], by=by)
    return message


@transaction.atomic
def notify_all(
    organization: Organization, letters: Iterable[Letter], *, by: Actor
) -> list[Message]:
    """The same of many letters, in a number of statements that does not grow with theirs.

    Their recipients come with their gateways.
    """
    messages = [_unsaved(organization, letter, by) for letter in letters]
    unreachable = [each for each in messages if _is_unreachable(each)]
    for each in unreachable:
        each.attempts = 1
    receipts.note_failed(*unreachable, problem=str(GatewayUnreachable().detail))
    _hand_over(*(each for each in messages if not _is_unreachable(each)))
    Message.objects.bulk_create(messages)
    return messages


@transaction.atomic
def resend(message: Message, *, by: Actor) -> Message:
    """Have a failed message tried again, through the gateway that its recipient has now.

    Raises NotFailed, AgentNotFound where the recipient is gone, and GatewayUnreachable; the
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
    locked.state = MessageState.PENDING
    _hand_over(locked)
    locked.save(update_fields=[*receipts.SETTLED_FIELDS, "attempts"])
    about = Target(locked.recipient_id, locked.board_id, locked.task_id, locked.execution_id)
    record(locked.organization_id, "message.sent_again", by=by, target=about, id=str(locked.id))
    return locked


def _hand_over(*messages: Message) -> None:
    """Deliver by writing where that is enough; else have the outbox try now."""
    delivered = [each for each in messages if outbox.is_immediate(each)]
    for each in delivered:
        each.attempts += 1
    receipts.note_delivered(*delivered)
    posted = [each for each in messages if not outbox.is_immediate(each)]
    if posted:
        now = clock()
        for each in posted:
            each.due_at = now
        outbox.call_on_commit()


def inbox_of(agent: Agent) -> QuerySet[Message]:
    """What the agent has been told and has not acknowledged, in no order."""
    return Message.objects.filter(recipient=agent, state=MessageState.DELIVERED)


@transaction.atomic
def acknowledge(message: Message, *, by: Agent) -> None:
    """Note that the recipient has read it; doing so again changes nothing.

    One that is read while its delivery is still under way has been delivered.
    """
    mine = Message.objects.select_for_update(no_key=True).filter(pk=message.pk, recipient=by)
    found = mine.filter(state__in=[MessageState.PENDING, MessageState.DELIVERED]).first()
    if found is None:
        return
    if found.state == MessageState.PENDING:
        receipts.note_delivered(found)
    found.state, found.acknowledged_at = MessageState.ACKNOWLEDGED, timezone.now()
    found.save(update_fields=[*receipts.SETTLED_FIELDS, "acknowledged_at"])


def _is_unreachable(message: Message) -> bool:
    return message.gateway is not None and not message.gateway.is_enabled


def _unsaved(organization: Organization, letter: Letter, by: Actor) -> Message:
    recipient, about = letter.recipient, letter.about
    return Message(
        organization=organization,
        kind=letter.kind,
        audience=Audience.AGENT if recipient else Audience.PEOPLE,
        sender_kind=by.kind,
        sender_id=by.id,
        sender_name=by.name,
        recipient=recipient,
        recipient_name=recipient.name if recipient else "",
        gateway=recipient.gateway if recipient else None,
        board_id=about.board_id,
        task_id=about.task_id,
        execution_id=about.execution_id,
        correlation_id=letter.correlation_id,
        content=letter.content,
        data=letter.facts,
    )


@transaction.atomic
def keep(organization: Organization, letter: Letter, problem: str, *, by: Actor) -> Message:
    """Keep what cannot be delivered as a failed message, which can be sent again."""
    message = _unsaved(organization, letter, by)
    message.attempts = 1
    receipts.note_failed(message, problem=problem)
    message.save(force_insert=True)
    return message
