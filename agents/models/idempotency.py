"""The memory of requests that were carried out once."""

from django.db import models

from agents.models.base import Keyed


class IdempotencyKey(Keyed):
    """One request of one caller and the first answer to it, kept until `expires_at`.

    Written in the transaction of the effect. `response_status` is null while a start that the
    row points at (`execution_id`) has not been answered; a repeat attaches to that execution.
    Until `settles_at` what was answered may still become something else.
    """

    caller = models.CharField(max_length=80)
    method = models.CharField(max_length=10)
    path = models.CharField(max_length=500)
    key = models.CharField(max_length=255)
    body_digest = models.CharField(max_length=64)
    response_status = models.PositiveSmallIntegerField(null=True)
    response_headers = models.JSONField(default=dict)
    response_body = models.JSONField(null=True)
    execution_id = models.UUIDField(null=True)
    settles_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["caller", "method", "path", "key"], name="one_effect_an_idempotency_key"
            ),
        ]
        # Serves the removal of what has expired.
        indexes = [models.Index(fields=["expires_at"], name="idempotency_expiry")]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.key}"
