"""Incoming webhooks of a board, and what they brought."""

from django.db import models

from agents.models.base import Keyed
from boards.models.board import Board


class Webhook(Keyed):
    """An address at which the outside world reaches a board."""

    board = models.ForeignKey(Board, on_delete=models.CASCADE, related_name="webhooks")
    name = models.CharField(max_length=200)
    is_enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.name


class WebhookPayload(Keyed):
    """One delivery: its body as text, some headers of it, and where it came from."""

    webhook = models.ForeignKey(Webhook, on_delete=models.CASCADE, related_name="payloads")
    body = models.TextField()
    content_type = models.CharField(max_length=200, blank=True)
    headers = models.JSONField(default=dict)
    address = models.GenericIPAddressField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        # Serves the deliveries of a webhook, newest first.
        indexes = [models.Index(fields=["webhook", "-id"], name="payload_list")]

    def __str__(self) -> str:
        return f"{self.webhook}, {self.created_at:%Y-%m-%d %H:%M}"
