"""Makes, changes and removes the incoming webhooks of a board, and gives them their secrets."""

from collections.abc import Collection, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import transaction

from agents.activity import Actor, Target, record
from agents.errors import Refusal
from agents.models import Agent
from agents.signing import give_secret, rotate_secret
from boards.hooks import words
from boards.hooks.signatures import LONGEST_SECRET, SHORTEST_SECRET, is_usable
from boards.models import Board, Seat, Webhook

check_header = RegexValidator(r"\A[A-Za-z0-9-]+\Z", "It is no name of a header.", code="header")


class WebhookNotFound(Refusal):
    """There is no such webhook."""

    code = "WEBHOOK_NOT_FOUND"
    status_code = 404


class WebhookAgentElsewhere(Refusal):
    """A webhook tells an agent that has a seat on its board, and starts one of its organization."""

    code = "WEBHOOK_AGENT_ELSEWHERE"
    status_code = 422


def check_secret(secret: str) -> None:
    """Raise a ValidationError unless it can be a secret."""
    if not is_usable(secret):
        raise ValidationError(
            f"A secret has {SHORTEST_SECRET} to {LONGEST_SECRET} visible ASCII characters; after "
            "whsec_ it is base64.",
            code="secret",
        )


@transaction.atomic
def create_webhook(
    board: Board,
    fields: Mapping[str, Any],
    *,
    by: Actor,
    secret: str = "",
    is_signed: bool = True,
) -> Webhook:
    """An address at which the outside world reaches the board.

    Where what comes has to be signed, its `secret` is in the clear this once: the one given, or
    a new one. Raises WebhookAgentElsewhere, or a ValidationError about the start or the secret.
    """
    webhook = Webhook(board=board, **fields)
    _check(webhook, fields)
    if is_signed:
        _give(webhook, secret)
    webhook.save(force_insert=True)
    _tell("webhook.created", webhook, by)
    return webhook


@transaction.atomic
def change_webhook(webhook: Webhook, changes: Mapping[str, Any], *, by: Actor) -> Webhook:
    """Change what it is called, takes, tells or starts, or switch it on and off.

    Raises WebhookNotFound, and as `create_webhook` does.
    """
    locked = _locked(webhook)
    changed = {name: value for name, value in changes.items() if getattr(locked, name) != value}
    if changed:
        for name, value in changed.items():
            setattr(locked, name, value)
        _check(locked, changed)
        locked.save(update_fields=[*changed, "updated_at"])
        _tell("webhook.updated", locked, by, changed=sorted(changed))
    return locked


@transaction.atomic
def rotate_webhook_secret(
    webhook: Webhook, *, by: Actor, secret: str = "", keeps_old: bool = True
) -> Webhook:
    """Another `secret`, in the clear this once: the one given, or a new one.

    The old one is good for 24 hours too, unless it is not to be kept. Raises WebhookNotFound, or
    a ValidationError about the secret.
    """
    locked = _locked(webhook)
    if locked.is_signed and keeps_old:
        _check_given(secret)
        names = rotate_secret(locked, secret)
    else:
        _give(locked, secret)
        locked.sealed_previous_secret, locked.previous_secret_until = "", None
        names = ["sealed_secret", "sealed_previous_secret", "previous_secret_until"]
    locked.save(update_fields=[*names, "updated_at"])
    _tell("webhook.secret_rotated", locked, by)
    return locked


@transaction.atomic
def delete_webhook(webhook: Webhook, *, by: Actor) -> None:
    """Remove it with what it brought. Raises `WebhookNotFound`."""
    locked = _locked(webhook)
    _tell("webhook.deleted", locked, by)
    locked.delete()


def _locked(webhook: Webhook) -> Webhook:
    rows = Webhook.objects.select_for_update(of=("self",), no_key=True).select_related(
        "board", "agent", "start_agent"
    )
    locked = rows.filter(pk=webhook.pk).first()
    if locked is None:
        raise WebhookNotFound
    return locked


def _give(webhook: Webhook, secret: str) -> None:
    _check_given(secret)
    give_secret(webhook, secret)


def _check_given(secret: str) -> None:
    if secret:
        check_secret(secret)


def _check(webhook: Webhook, changed: Collection[str]) -> None:
    """Refuse what cannot be; an agent that was moved since it was chosen is no reason to."""
    if webhook.start_agent is not None and not webhook.start_prompt:
        raise ValidationError({"start_prompt": "Say what is to be done."})
    words.check_template(webhook.start_prompt)
    board = webhook.board
    told: Agent | None = webhook.agent
    is_new = told is not None and "agent" in changed
    if is_new and not Seat.objects.filter(board=board, agent=told).exists():
        raise WebhookAgentElsewhere(agent=str(webhook.agent_id))
    started: Agent | None = webhook.start_agent
    if started is not None and started.organization_id != board.organization_id:
        raise WebhookAgentElsewhere(agent=str(started.id))


def _tell(event: str, webhook: Webhook, by: Actor, **facts: Any) -> None:
    about = Target(board_id=webhook.board_id)
    facts = {"webhook_id": str(webhook.id), "name": webhook.name, **facts}
    record(webhook.board.organization_id, event, by=by, target=about, **facts)
