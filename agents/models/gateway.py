"""Gateways: how an organization reaches agents outside Signalbox, and people."""

from django.db import models
from django.db.models.functions import Lower

from agents.models.base import Keyed
from agents.models.organization import Organization
from agents.models.signing import Signing


class GatewayKind(models.TextChoices):
    """The adapter that delivers."""

    INBOX = "inbox"
    WEBHOOK = "webhook"


class Gateway(Signing, Keyed):
    """A channel: `inbox` keeps messages until the recipient fetches them, `webhook` posts them."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="gateways"
    )
    name = models.CharField(max_length=200)
    kind = models.CharField(max_length=20, choices=GatewayKind, default=GatewayKind.INBOX)
    url = models.CharField(max_length=2000, blank=True)
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint("organization", Lower("name"), name="gateway_name_is_taken"),
            # What the foreign key of an agent to a gateway of its own organization points at.
            models.UniqueConstraint(fields=["id", "organization"], name="gateway_of_organization"),
            models.CheckConstraint(
                condition=models.Q(kind__in=GatewayKind.values), name="gateway_kind"
            ),
            models.CheckConstraint(
                condition=models.Q(kind=GatewayKind.INBOX, url="")
                | (models.Q(kind=GatewayKind.WEBHOOK) & ~models.Q(url="")),
                name="a_webhook_has_an_address",
            ),
        ]

    def __str__(self) -> str:
        return self.name
