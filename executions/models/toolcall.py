"""The ledger: one row for each tool call, which is also the audit log."""

from django.db import models

from agents.models.base import Keyed
from executions.models.execution import Execution


class CallStatus(models.TextChoices):
    """Where a tool call is. `running` is committed before the tool starts."""

    PREPARED = "prepared"
    RUNNING = "running"
    COMPLETE = "complete"
    ERROR = "error"
    DENIED = "denied"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"


class ToolCall(Keyed):
    """One call, keyed by (reply entry, position in the reply).

    `arguments_digest` is the SHA-256 of the canonical JSON; `output` holds at most 64 KiB.
    """

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="tool_calls")
    reply_position = models.PositiveIntegerField()
    position = models.PositiveSmallIntegerField()
    turn = models.PositiveIntegerField()
    call_id = models.CharField(max_length=200)
    name = models.CharField(max_length=200)
    arguments = models.JSONField()
    arguments_digest = models.CharField(max_length=64)
    problem = models.TextField(blank=True)
    status = models.CharField(max_length=20, choices=CallStatus, default=CallStatus.PREPARED)
    claim_id = models.UUIDField(null=True)
    runs = models.PositiveSmallIntegerField(default=0)
    output = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["reply_position", "position"]
        constraints = [
            models.UniqueConstraint(
                fields=["execution", "reply_position", "position"], name="one_row_a_tool_call"
            ),
            models.CheckConstraint(
                condition=~models.Q(status=CallStatus.RUNNING)
                | models.Q(claim_id__isnull=False, started_at__isnull=False),
                name="a_running_call_has_its_claim",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"
