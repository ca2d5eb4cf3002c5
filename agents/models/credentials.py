"""Integration keys and agent tokens: a public prefix, a hashed secret, and what they allow."""

import hashlib
import secrets
from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.utils import timezone

from agents.models.agent import Agent
from agents.models.base import Keyed
from agents.models.organization import Organization, Role, User


class Scope(models.TextChoices):
    """What an integration key may be used for; none given means all that its role allows."""

    READ = "read"
    RUN = "run"
    BOARDS = "boards"
    APPROVE = "approve"
    DISPATCH = "dispatch"
    ADMIN = "admin"


def digest(secret: str) -> str:
    """SHA-256 in hex. Enough here: a secret of 256 random bits cannot be guessed from it."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Credential(Keyed):
    """A secret shown once as `<kind>_<prefix>_<secret>` and found again by its prefix."""

    KIND = ""

    name = models.CharField(max_length=200, blank=True)
    prefix = models.CharField(max_length=16, unique=True, editable=False)
    digest = models.CharField(max_length=64, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.name or self.KIND} ({self.prefix})"

    @classmethod
    def unsaved(cls, **fields: object) -> tuple[Self, str]:
        """A new credential that is not yet stored, and its secret in the clear."""
        prefix, secret = secrets.token_hex(8), secrets.token_urlsafe(32)
        row = cls(prefix=prefix, digest=digest(secret), **fields)
        return row, f"{cls.KIND}_{prefix}_{secret}"

    @property
    def is_usable(self) -> bool:
        expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not expired


class IntegrationKey(Credential):
    """How a program acts for one organization, with a role and optional scopes."""

    KIND = "sbk"

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="keys")
    role = models.CharField(max_length=10, choices=Role, default=Role.OPERATOR)
    scopes = ArrayField(models.CharField(max_length=10, choices=Scope), default=list, blank=True)
    created_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="key_role"),
        ]


class AgentToken(Credential):
    """How an agent outside Signalbox proves who it is."""

    KIND = "sba"

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="tokens")

    class Meta:
        ordering = ["-id"]
