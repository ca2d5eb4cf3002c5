"""Creates, changes and deletes gateways, and gives them their secrets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import IntegrityError, transaction

from agents.activity import Actor, record
from agents.errors import GatewayNotFound, Refusal
from agents.models import Gateway, GatewayKind, Organization
from agents.signing import give_secret, rotate_secret


class GatewayNameTaken(Refusal):
    """Another gateway of this organization has this name."""

    code = "GATEWAY_NAME_TAKEN"


class GatewayInUse(Refusal):
    """Agents are reached through this gateway; give them another one first."""

    code = "GATEWAY_IN_USE"


class GatewayAddress(Refusal):
    """A gateway of kind webhook has a `url`, and no other kind has one."""

    code = "GATEWAY_ADDRESS"
    status_code = 422


class GatewayKindFixed(Refusal):
    """A gateway keeps its kind; create another one, and give it to the agents."""

    code = "GATEWAY_KIND_FIXED"
    status_code = 422


class GatewayHasNoSecret(Refusal):
    """Only gateways of kind webhook sign what they post."""

    code = "GATEWAY_HAS_NO_SECRET"


@transaction.atomic
def create_gateway(organization: Organization, fields: Mapping[str, Any], *, by: Actor) -> Gateway:
    """A new gateway; one that signs has its `secret` in the clear, which cannot be had again.

    Raises GatewayNameTaken and GatewayAddress.
    """
    gateway = Gateway(organization=organization, **fields)
    if gateway.kind == GatewayKind.WEBHOOK:
        give_secret(gateway)
    _saved(gateway)
    _tell("gateway.created", gateway, by)
    return gateway


@transaction.atomic
def change_gateway(gateway: Gateway, changes: Mapping[str, Any], *, by: Actor) -> Gateway:
    """Change a gateway.

    Raises GatewayNotFound, GatewayNameTaken, GatewayAddress and GatewayKindFixed.
    """
    locked = _locked(gateway)
    changed = {name: value for name, value in changes.items() if getattr(locked, name) != value}
    if "kind" in changed:
        raise GatewayKindFixed(kind=locked.kind)
    for name, value in changed.items():
        setattr(locked, name, value)
    if changed:
        _saved(locked, [*changed, "updated_at"])
        _tell("gateway.updated", locked, by, changed=sorted(changed))
    return locked


@transaction.atomic
def rotate_gateway_secret(gateway: Gateway, *, by: Actor) -> Gateway:
    """Another `secret`, in the clear this once; the old one signs too for 24 hours.

    Raises GatewayNotFound and GatewayHasNoSecret.
    """
    locked = _locked(gateway)
    if not locked.sealed_secret:
        raise GatewayHasNoSecret(kind=locked.kind)
    locked.save(update_fields=[*rotate_secret(locked), "updated_at"])
    _tell("gateway.secret_rotated", locked, by)
    return locked


@transaction.atomic
def delete_gateway(gateway: Gateway, *, by: Actor) -> None:
    """Remove a gateway. Raises GatewayNotFound, and GatewayInUse while agents have it."""
    locked = _locked(gateway)
    if users := list(locked.agents.values_list("pk", flat=True)[:50]):
        raise GatewayInUse(agent_ids=users)
    _tell("gateway.deleted", locked, by)
    locked.delete()


def _locked(gateway: Gateway) -> Gateway:
    # Stronger than a change needs: an agent that is given this gateway meanwhile waits for it.
    locked = Gateway.objects.select_for_update().filter(pk=gateway.pk).first()
    if locked is None:
        raise GatewayNotFound
    return locked


def _saved(gateway: Gateway, update_fields: list[str] | None = None) -> Gateway:
    if bool(gateway.url) != (gateway.kind == GatewayKind.WEBHOOK):
        raise GatewayAddress(kind=gateway.kind)
    try:
        with transaction.atomic():
            gateway.save(update_fields=update_fields, force_insert=update_fields is None)
    except IntegrityError as error:
        raise GatewayNameTaken(name=gateway.name) from error
    return gateway


def _tell(event: str, gateway: Gateway, by: Actor, **facts: Any) -> None:
    record(
        gateway.organization_id,
        event,
        by=by,
        gateway_id=str(gateway.id),
        name=gateway.name,
        **facts,
    )
