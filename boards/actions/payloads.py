"""Takes what webhooks bring: keeps it, tells an agent of it or starts one, once a delivery."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q
from rest_framework.exceptions import APIException

from agents.activity import Actor, Target, record
from agents.clock import ClockTimestamp, clock
from agents.errors import Refusal
from agents.messages import Letter, notify
from agents.models import ActorKind, Agent, MessageKind
from boards.actions.boards import locked_board
from boards.actions.webhooks import WebhookNotFound
from boards.errors import BoardNotFound, PayloadNotFound
from boards.hooks import starting, words
from boards.hooks.starting import NotNow
from boards.models import Board, PayloadState, Seat, SeatRole, Webhook, WebhookPayload

logger = logging.getLogger(__name__)

# Payloads that one sweep starts.
BATCH = 25
# A payload that cannot start is tried again after half a minute, then ever later, for a day.
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(hours=1)
MOST_ATTEMPTS = 30
# A delivery that comes again after so long is taken as a new one.
KEPT = timedelta(days=30)
PRUNED_AT_ONCE = 1000

_STARTING_FIELDS = ("state", "execution_id", "problem", "attempts", "due_at")


class WebhookStartsNothing(Refusal):
    """The webhook starts no agent."""

    code = "WEBHOOK_STARTS_NOTHING"


class WebhookAgentGone(Refusal):
    """The agent that the webhook starts is gone."""

    code = "WEBHOOK_AGENT_GONE"


class PayloadStarted(Refusal):
    """The payload has started its execution; to do the work again, retry that one."""

    code = "PAYLOAD_STARTED"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request as it came; `id` is empty where its sender names none."""

    id: str
    body: bytes
    content_type: str
    headers: Mapping[str, str]
    address: str | None


def take(webhook: Webhook, delivery: Delivery) -> tuple[WebhookPayload, bool]:
    """The payload, and whether it is new: a delivery that was taken before changes nothing.

    A payload, what is told of it and what it starts are one transaction. Of two that come at once
    the database keeps one, and the other waits for its commit. Raises WebhookNotFound.
    """
    try:
        with transaction.atomic():
            if webhook.starts:
                # First, as everywhere: who deletes the board locks it before its webhooks.
                locked_board(webhook.board)
            return _taken(webhook, delivery)
    except BoardNotFound as error:
        raise WebhookNotFound from error
    except IntegrityError as error:
        if Webhook.objects.filter(pk=webhook.pk).exists():
            raise
        raise WebhookNotFound from error


@transaction.atomic
def start_payload(payload: WebhookPayload, *, by: Actor) -> WebhookPayload:
    """Start by hand what did not start by itself.

    Raises PayloadNotFound, PayloadStarted, WebhookStartsNothing, WebhookAgentGone, and what
    refuses the start; the payload stays as it is then.
    """
    locked = _locked(payload.pk)
    if locked is None:
        raise PayloadNotFound
    if locked.state == PayloadState.STARTED:
        raise PayloadStarted(execution_id=str(locked.execution_id))
    try:
        _note_start(locked, _begin(locked, by))
    except NotNow as error:
        raise error.refusal from error
    locked.save(update_fields=_STARTING_FIELDS)
    return locked


def start_waiting() -> int:
    """Start payloads whose turn to be tried again has come; how many were tried.

    A chore of the sweep: for what met a paused agent or a full queue.
    """
    due = WebhookPayload.objects.filter(_due()).order_by("due_at")
    return sum(_tried_again(key) for key in list(due.values_list("pk", flat=True)[:BATCH]))


def prune() -> int:
    """Remove what is past its time and waits for nothing, a thousand rows a transaction."""
    old = WebhookPayload.objects.filter(created_at__lt=ClockTimestamp() - KEPT)
    done = old.exclude(state=PayloadState.WAITING).order_by("created_at")
    removed = 0
    while True:
        keys = list(done.values_list("pk", flat=True)[:PRUNED_AT_ONCE])
        # Asked again, since one of them may be started by hand, or wait, by now.
        removed += done.filter(pk__in=keys).order_by().delete()[0]
        if len(keys) < PRUNED_AT_ONCE:
            return removed


def _taken(webhook: Webhook, delivery: Delivery) -> tuple[WebhookPayload, bool]:
    payload = _unsaved(webhook, delivery)
    try:
        with transaction.atomic():
            payload.save(force_insert=True)
    except IntegrityError:
        first = _first(webhook, delivery.id)
        if first is None:
            raise
        return first, False
    by = _speaker(webhook)
    if webhook.starts:
        _try(payload, by)
        payload.save(update_fields=_STARTING_FIELDS)
    else:
        _tell(webhook, payload, by)
    record(
        webhook.board.organization_id,
        "webhook.received",
        by=by,
        target=Target(board_id=webhook.board_id, execution_id=payload.execution_id),
        webhook_id=str(webhook.id),
        payload_id=str(payload.id),
        state=str(payload.state),
    )
    return payload, True


def _unsaved(webhook: Webhook, delivery: Delivery) -> WebhookPayload:
    text = _text(delivery.body)
    body = base64.b64encode(delivery.body).decode() if text is None else text
    return WebhookPayload(
        webhook=webhook,
        delivery_id=delivery.id,
        body=body,
        is_base64=text is None,
        size=len(delivery.body),
        content_type=delivery.content_type,
        headers=dict(delivery.headers),
        address=delivery.address,
    )


def _text(body: bytes) -> str | None:
    """The body as text, if PostgreSQL can keep it as such."""
    try:
        return None if b"\0" in body else body.decode()
    except UnicodeDecodeError:
        return None


def _first(webhook: Webhook, delivery_id: str) -> WebhookPayload | None:
    if not delivery_id:
        return None
    taken = WebhookPayload.objects.filter(webhook=webhook, delivery_id=delivery_id)
    return taken.defer("body").first()


def _tell(webhook: Webhook, payload: WebhookPayload, by: Actor) -> None:
    """Tell the named agent while it has a seat here, else the lead; without either say so."""
    agent = _recipient(webhook)
    if agent is None:
        payload.problem = "The board has no lead to tell of it."
        payload.save(update_fields=["problem"])
        return
    about = Target(board_id=webhook.board_id, agent_id=agent.id)
    facts = {"webhook_id": str(webhook.id), "payload_id": str(payload.id)}
    said = words.notice(webhook, payload)
    letter = Letter(
        MessageKind.WEBHOOK, said, agent, about, f"webhook:{webhook.id}:{payload.id}", facts
    )
    notify(webhook.board.organization, letter, by=by)


def _recipient(webhook: Webhook) -> Agent | None:
    seats = Seat.objects.filter(board=webhook.board_id).select_related("agent__gateway")
    found = {
        seat.agent_id == webhook.agent_id: seat.agent
        for seat in seats.filter(Q(agent=webhook.agent_id) | Q(role=SeatRole.LEAD))
    }
    return found.get(True) or found.get(False)


def _tried_again(key: UUID) -> int:
    """Whether it was still to be tried; one that fails in an unforeseen way stops no other."""
    try:
        with transaction.atomic():
            payload = _locked(key)
            if payload is None or not WebhookPayload.objects.filter(_due(), pk=key).exists():
                return 0
            _try(payload, _speaker(payload.webhook))
            payload.save(update_fields=_STARTING_FIELDS)
    except Exception:
        logger.exception("What webhook payload %s asks for could not be started.", key)
        _put_off(key)
        return 0
    return 1


def _put_off(key: UUID) -> None:
    """Have others come first for a while: what failed in an unforeseen way would stand before."""
    WebhookPayload.objects.filter(pk=key).update(due_at=ClockTimestamp() + LONGEST_WAIT)


def _try(payload: WebhookPayload, by: Actor) -> None:
    """Start what the payload asks for, or note on it why not; in the caller's transaction."""
    payload.attempts += 1
    try:
        with transaction.atomic():
            _note_start(payload, _begin(payload, by))
    except NotNow as refusal:
        payload.problem = str(refusal)
        if payload.attempts < MOST_ATTEMPTS:
            payload.state, payload.due_at = PayloadState.WAITING, clock() + _wait(payload.attempts)
        else:
            _note_failure(payload, by)
    except APIException as refusal:
        payload.problem = str(refusal.detail)
        _note_failure(payload, by)


def _begin(payload: WebhookPayload, by: Actor) -> UUID:
    webhook = payload.webhook
    if not webhook.starts:
        raise WebhookStartsNothing
    if webhook.start_agent is None:
        raise WebhookAgentGone
    said = words.prompt(webhook, payload)
    return starting.start(webhook.start_agent, webhook.board, said, by=by)


def _note_start(payload: WebhookPayload, execution_id: UUID) -> None:
    payload.state, payload.execution_id = PayloadState.STARTED, execution_id
    payload.problem, payload.due_at = "", None


def _note_failure(payload: WebhookPayload, by: Actor) -> None:
    payload.state, payload.due_at = PayloadState.FAILED, None
    webhook = payload.webhook
    record(
        webhook.board.organization_id,
        "webhook.start_failed",
        by=by,
        target=Target(board_id=webhook.board_id, agent_id=webhook.start_agent_id),
        webhook_id=str(webhook.id),
        payload_id=str(payload.id),
        problem=payload.problem,
    )


def _wait(attempts: int) -> timedelta:
    doubled: timedelta = FIRST_WAIT * 2 ** (attempts - 1)
    return min(doubled, LONGEST_WAIT)


def _due() -> Q:
    is_due = Q(state=PayloadState.WAITING, due_at__lte=ClockTimestamp())
    return is_due & Q(webhook__is_enabled=True)


def _locked(key: UUID) -> WebhookPayload | None:
    """The payload with its webhook, locked after its board, as every start locks."""
    found = WebhookPayload.objects.filter(pk=key)
    board = Board.objects.filter(webhooks__payloads=key).first()
    if board is None:
        return None
    try:
        locked_board(board)
    except BoardNotFound:
        return None
    return (
        found.select_related("webhook__board__organization", "webhook__start_agent")
        .select_for_update(of=("self",), no_key=True)
        .first()
    )


def _speaker(webhook: Webhook) -> Actor:
    """Who tells and starts: the system, by the name of the webhook."""
    return Actor(ActorKind.SYSTEM, None, f"Webhook {webhook.name}"[:200])
