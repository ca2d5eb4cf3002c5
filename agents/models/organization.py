"""The tenant, its people and their ranks."""

from typing import Self

from django.contrib.auth.models import AbstractUser
from django.db import models

from agents.models.base import Keyed


class User(Keyed, AbstractUser):
    """A person who signs in; what they may do is their membership's role."""


class Role(models.TextChoices):
    """Ranks of members and keys; the order of declaration is the order of rank, lowest first."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"
    OWNER = "owner"

    @property
    def rank(self) -> int:
        return list(type(self)).index(self)

    def reaches(self, other: Self) -> bool:
        """Whether this rank is as high as the other."""
        return self.rank >= other.rank


class Organization(Keyed):
    """The tenant: owns everything below it. `max_concurrent` limits running executions."""

    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80, unique=True)
    max_concurrent = models.PositiveIntegerField(
        null=True, blank=True, help_text="Executions that run at once; empty means no limit."
    )
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name


class Membership(Keyed):
    """A user's role in an organization."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="memberships"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.VIEWER)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["organization", "user"], name="one_membership_each"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="member_role"),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization} as {self.role}"
