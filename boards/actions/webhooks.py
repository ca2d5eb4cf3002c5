"""Makes, changes and removes the incoming webhooks of a board."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from agents.activity import Actor, Target, record
from agents.errors import Refusal
from boards.models import Board, Webhook


class WebhookNotFound(Refusal):
    """There is no such webhook on this board."""

    code = "WEBHOOK_NOT_FOUND"
    status_code = 404


@transaction.atomic
def create_webhook(board: Board, fields: Mapping[str, Any], *, by: Actor) -> Webhook:
    """An address at which the outside world reaches the board."""
    webhook = Webhook.objects.create(board=board, **fields)
    _tell("webhook.created", webhook, by)
    return webhook


@transaction.atomic
def change_webhook(webhook: Webhook, changes: Mapping[str, Any], *, by: Actor) -> Webhook:
    """Rename it, or switch it on and off. Raises `WebhookNotFound`."""
    locked = _locked(webhook)
    changed = {name: value for name, value in changes.items() if getattr(locked, name) != value}
    if changed:
        for name, value in changed.items():
            setattr(locked, name, value)
        locked.save(update_fields=[*changed, "updated_at"])
        _tell("webhook.updated", locked, by, changed=sorted(changed))
    return locked


@transaction.atomic
def delete_webhook(webhook: Webhook, *, by: Actor) -> None:
    """Remove it with what it brought. Raises `WebhookNotFound`."""
    locked = _locked(webhook)
    _tell("webhook.deleted", locked, by)
    locked.delete()


def _locked(webhook: Webhook) -> Webhook:
    rows = Webhook.objects.select_for_update(of=("self",), no_key=True).select_related("board")
    locked = rows.filter(pk=webhook.pk).first()
    if locked is None:
        raise WebhookNotFound
    return locked


def _tell(event: str, webhook: Webhook, by: Actor, **facts: Any) -> None:
    about = Target(board_id=webhook.board_id)
    facts = {"webhook_id": str(webhook.id), "name": webhook.name, **facts}
    record(webhook.board.organization_id, event, by=by, target=about, **facts)
