"""Endpoints: where lines of the permanent record are posted, and every try of it."""

from django.db import models
from uuid_utils.compat import uuid7

from agents.models.base import Keyed
from agents.models.organization import Organization
from agents.models.signing import Signing


class DisabledBecause(models.TextChoices):
    """Why Signalbox itself switched an endpoint off."""

    FAILING = "failing", "It failed for three days"
    GONE = "gone", "It answered 410 Gone"


class WebhookEndpoint(Signing, Keyed):
    """An address that is told of lines of the record, in the order of their commits.

    `cursor_xact` and `cursor_id` are the place up to which lines have become deliveries. `due_at`
    says when the oldest delivery may be tried, null where none is pending. Whoever tries has
    the lease, and counts `claim`, which is the fence: what an older claim comes back with is not
    written. `failures` and `failing_since` are of the failures in a row.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200)
    url = models.CharField(max_length=2000)
    types = models.JSONField(default=list)
    is_enabled = models.BooleanField(default=True)
    disabled_because = models.CharField(
        max_length=10, choices=DisabledBecause, blank=True, editable=False
    )
    cursor_xact = models.BigIntegerField(editable=False)
    cursor_id = models.UUIDField(editable=False)
    due_at = models.DateTimeField(null=True, editable=False)
    leased_until = models.DateTimeField(null=True, editable=False)
    claim = models.PositiveBigIntegerField(default=0, editable=False)
    failures = models.PositiveIntegerField(default=0, editable=False)
    failing_since = models.DateTimeField(null=True, editable=False)
    hinted_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(is_enabled=False, disabled_because__in=DisabledBecause.values)
                | models.Q(disabled_because=""),
                name="an_enabled_endpoint_has_no_reason",
            ),
        ]
        indexes = [
            # Serves the operators' list, newest first.
            models.Index(fields=["organization", "-id"], name="endpoint_list"),
        ]

    def __str__(self) -> str:
        return self.name


class DeliveryState(models.TextChoices):
    """How far it came; `failed` was given up, and is sent again when somebody asks."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class Delivery(Keyed):
    """One event for one endpoint; its own id is the `webhook-id` at every try.

    `event_id` is the line's, of which the body is made; a ping has one of its own and no line.
    With `xact` it is the place in the order of deliveries.
    """

    PING = "ping"

    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.CASCADE, related_name="deliveries"
    )
    event_id = models.UUIDField(default=uuid7)
    xact = models.BigIntegerField()
    type = models.CharField(max_length=60)
    state = models.CharField(max_length=10, choices=DeliveryState, default=DeliveryState.PENDING)
    attempts = models.PositiveIntegerField(default=0)
    created_at = models.DateTimeField(auto_now_add=True)
    delivered_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["endpoint", "event_id"], name="one_delivery_an_event"),
            models.CheckConstraint(
                condition=models.Q(state__in=DeliveryState.values), name="delivery_state"
            ),
        ]
        indexes = [
            # Serves the next one of an endpoint.
            models.Index(
                fields=["endpoint", "xact", "event_id"],
                condition=models.Q(state="pending"),
                name="delivery_next",
            ),
            # Serve an endpoint's list, newest first: all, those of one state, those of one type.
            models.Index(fields=["endpoint", "-id"], name="delivery_list"),
            models.Index(fields=["endpoint", "state", "-id"], name="delivery_by_state"),
            models.Index(fields=["endpoint", "type", "-id"], name="delivery_by_type"),
            # Serves the pruning of what is old.
            models.Index(fields=["created_at"], name="delivery_age"),
        ]

    def __str__(self) -> str:
        return f"{self.type} to {self.endpoint}"


class DeliveryAttempt(Keyed):
    """One try: written before it is made, and what came of it after. Without either `status` or
    `problem` it is under way.
    """

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="tries")
    number = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField(null=True)
    problem = models.TextField(blank=True)
    milliseconds = models.PositiveIntegerField(null=True)
    started_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["delivery", "number"], name="one_attempt_a_number"),
        ]

    def __str__(self) -> str:
        return f"{self.delivery_id}, {self.number}"
