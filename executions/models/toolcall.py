"""The ledger: one row for each tool call, which is also the audit log."""

from typing import Any

from django.db import models
from django.db.models.lookups import LessThanOrEqual

from agents.models import ActorKind
from agents.models.base import Keyed
from agents.runtime.tools.text import WHOLE_BYTES
from executions.models.execution import Execution


def _bytes_of(field: str) -> models.Func:
    return models.Func(models.F(field), function="octet_length", output_field=models.IntegerField())


class CallStatus(models.TextChoices):
    """Where a tool call is. `running` is committed before the tool starts."""

    PREPARED = "prepared"
    AWAITING_APPROVAL = "awaiting_approval"
    RUNNING = "running"
    COMPLETE = "complete"
    ERROR = "error"
    DENIED = "denied"
    INTERRUPTED = "interrupted"
    UNKNOWN = "unknown"


# What has run, or may have: never a call that needs a person and that none has approved.
_HAS_RUN = [CallStatus.RUNNING, CallStatus.COMPLETE, CallStatus.ERROR, CallStatus.UNKNOWN]


class CallDecision(models.TextChoices):
    """What a person said of a call that needs one; empty while nobody has."""

    APPROVED = "approved"
    REJECTED = "rejected"


class ToolCall(Keyed):
    """One call, keyed by (reply entry, position in the reply).

    `arguments_digest` is the SHA-256 of the canonical JSON; `output` holds at most 64 KiB; of
    a longer one `whole_bytes` are in `WholeOutput`, which `is_whole_cut` says are not all. A call
    that `needs_approval` is `awaiting_approval` from the commit of its reply until it runs or is
    settled otherwise. What runs is what was approved: `edited_arguments`, if the person gave
    others, else `arguments`; `decided_digest` is theirs. Of a call whose execution ended first
    `decision` stays empty, and it is `interrupted`.
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
    whole_bytes = models.PositiveIntegerField(null=True)
    is_whole_cut = models.BooleanField(default=False, db_default=False)
    needs_approval = models.BooleanField(default=False, db_default=False)
    decision = models.CharField(max_length=10, choices=CallDecision, blank=True, db_default="")
    decider_kind = models.CharField(max_length=10, choices=ActorKind, blank=True, db_default="")
    decider_id = models.UUIDField(null=True)
    decider_name = models.CharField(max_length=200, blank=True, db_default="")
    decision_reason = models.TextField(blank=True, db_default="")
    decided_at = models.DateTimeField(null=True)
    decided_digest = models.CharField(max_length=64, blank=True, db_default="")
    edited_arguments = models.JSONField(null=True)
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
            models.CheckConstraint(
                condition=models.Q(decision="", decided_at=None)
                | models.Q(decision=CallDecision.REJECTED, decided_at__isnull=False)
                | models.Q(decision=CallDecision.APPROVED, decided_at__isnull=False)
                & ~models.Q(decided_digest=""),
                name="a_decided_call_says_when_and_on_what",
            ),
            models.CheckConstraint(
                condition=models.Q(needs_approval=False)
                | models.Q(decision=CallDecision.APPROVED)
                | ~models.Q(status__in=_HAS_RUN),
                name="a_call_that_needs_approval_runs_with_it",
            ),
            models.CheckConstraint(
                condition=models.Q(is_whole_cut=False) | models.Q(whole_bytes__isnull=False),
                name="what_is_cut_of_a_whole_is_there",
            ),
        ]
        indexes = [
            # Serves the list of what waits for a person, newest first: a few of a million calls.
            models.Index(
                fields=["-id"],
                condition=models.Q(status=CallStatus.AWAITING_APPROVAL, decision=""),
                name="toolcall_to_decide",
            ),
        ]

    @property
    def approved_arguments(self) -> Any:
        """What runs once it is approved, and what is to be approved until then."""
        return self.arguments if self.edited_arguments is None else self.edited_arguments

    def __str__(self) -> str:
        return f"{self.name} ({self.status})"


class WholeOutput(models.Model):
    """The output of a call whose row has it cut: storable text, without secrets, as far as kept.

    It is written by the commit that settles the call, so that neither is there without the other.
    """

    call = models.OneToOneField(
        ToolCall, on_delete=models.CASCADE, primary_key=True, related_name="whole"
    )
    text = models.TextField()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=LessThanOrEqual(_bytes_of("text"), WHOLE_BYTES),
                name="a_whole_output_is_bounded",
            ),
        ]

    def __str__(self) -> str:
        return f"output of {self.call_id}"
