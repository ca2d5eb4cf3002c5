"""Incoming webhooks of a board, and what they brought."""

from django.db import models

from agents.models import Agent
from agents.models.base import Keyed
from agents.models.signing import Signing
from boards.models.board import Board


class Webhook(Signing, Keyed):
    """An address at which the outside world reaches a board.

    With a secret, only what is signed with it is taken: in `signature_header`, or where that is
    empty in one of the usual ones (see `boards.hooks.signatures`). What comes is told to `agent`,
    or else to the board's lead; with a `start_prompt` it starts `start_agent` instead.
    """

    board = models.ForeignKey(Board, on_delete=models.CASCADE, related_name="webhooks")
    name = models.CharField(max_length=200)
    is_enabled = models.BooleanField(default=True)
    signature_header = models.CharField(max_length=100, blank=True)
    delivery_header = models.CharField(max_length=100, blank=True)
    agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    start_agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    start_prompt = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(start_agent=None) | ~models.Q(start_prompt=""),
                name="who_is_started_is_told_what_to_do",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_signed(self) -> bool:
        return bool(self.sealed_secret)

    @property
    def starts(self) -> bool:
        """Whether what comes is to start an execution, whoever is still there to be started."""
        return bool(self.start_prompt)


class PayloadState(models.TextChoices):
    """What became of a payload: `kept` means that it starts nothing."""

    KEPT = "kept"
    STARTED = "started"
    WAITING = "waiting"
    FAILED = "failed"


class WebhookPayload(Keyed):
    """One delivery: its body, some headers of it, and where it came from.

    A body that PostgreSQL cannot keep as text, of bytes that are no UTF-8 or with a NUL among
    them, is kept in base64. `problem` says why nothing was told or started. A waiting one is
    tried again at `due_at`.
    """

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="payloads")
    delivery_id = models.CharField(max_length=255, blank=True)
    body = models.TextField()
    is_base64 = models.BooleanField(default=False)
    size = models.PositiveIntegerField(default=0)
    content_type = models.CharField(max_length=200, blank=True)
    headers = models.JSONField(default=dict)
    address = models.GenericIPAddressField(null=True)
    state = models.CharField(max_length=10, choices=PayloadState, default=PayloadState.KEPT)
    # A plain value: the payload outlives the execution that it started.
    execution_id = models.UUIDField(null=True)
    problem = models.TextField(blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # Nothing that is delivered again is done again.
            models.UniqueConstraint(
                fields=["webhook", "delivery_id"],
                condition=~models.Q(delivery_id=""),
                name="a_delivery_is_taken_once",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=PayloadState.values), name="payload_state"
            ),
            models.CheckConstraint(
                condition=models.Q(state=PayloadState.WAITING, due_at__isnull=False)
                | (~models.Q(state=PayloadState.WAITING) & models.Q(due_at=None)),
                name="a_payload_is_due_exactly_while_waiting",
            ),
            models.CheckConstraint(
                condition=models.Q(state=PayloadState.STARTED, execution_id__isnull=False)
                | (~models.Q(state=PayloadState.STARTED) & models.Q(execution_id=None)),
                name="what_was_started_has_an_execution",
            ),
        ]
        indexes = [
            # Serves the deliveries of a webhook, newest first.
            models.Index(fields=["webhook", "-id"], name="payload_list"),
            # Serves the same of one state.
            models.Index(fields=["webhook", "state", "-id"], name="payload_by_state"),
            # Serves the pruning of what is old.
            models.Index(
                fields=["created_at"], condition=~models.Q(state="waiting"), name="payload_age"
            ),
            # Serves what is to be started next.
            models.Index(
                fields=["due_at"], condition=models.Q(state="waiting"), name="payload_due"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.webhook}, {self.created_at:%Y-%m-%d %H:%M}"

    @property
    def encoding(self) -> str:
        """How `body` has the bytes that came."""
        return "base64" if self.is_base64 else "utf-8"
