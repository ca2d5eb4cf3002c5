"""Conditions: what a waiting execution waits for."""

from django.db import models
from django.db.models import Q

from agents.models.base import Keyed
from executions.models.execution import Execution


class Condition(Keyed):
    """One thing of a wait. Leaving the wait deletes its rows, so nothing stale can fire.

    `name` is the name or pattern of a signal, the tool of a call, or what people were asked;
    `target_id` the approval, tool call, question, job or child.
    A timer ends the wait by itself, whatever its mode; that of the others is `wait_mode` of the
    execution.
    """

    class Kind(models.TextChoices):
        TIMER = "timer"
        SIGNAL = "signal"
        APPROVAL = "approval"
        TOOL_CALL = "tool_call"
        QUESTION = "question"
        JOB = "job"
        CHILD = "child"

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="conditions")
    wait_number = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind)
    name = models.CharField(max_length=200, blank=True)
    target_id = models.UUIDField(null=True)
    reason = models.CharField(max_length=200, blank=True)
    due_at = models.DateTimeField(null=True)
    met_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["due_at", "id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="timer", due_at__isnull=False)
                | Q(kind="signal", due_at=None) & ~Q(name="")
                | Q(
                    kind__in=["approval", "tool_call", "question", "job", "child"],
                    target_id__isnull=False,
                ),
                name="a_condition_says_what_it_waits_for",
            ),
        ]
        indexes = [
            # Serves the sweep: timers in the order in which they are due.
            models.Index(fields=["due_at"], name="condition_due"),
            # Serves whatever ends: who waits for it.
            models.Index(
                fields=["target_id"],
                condition=Q(target_id__isnull=False),
                name="condition_target",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name or self.target_id or self.due_at}"


class Signal(Keyed):
    """A named value sent to an execution, kept until it is consumed.

    `number` counts the signals of an execution in the order in which they came. A sender that
    repeats a `dedup_key` sends the same signal. `reserved_by` is the claim of a remote worker that
    has it in hand; its next commit consumes it.
    """

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="signals")
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=200)
    value = models.JSONField(null=True)
    sender = models.CharField(max_length=120, blank=True)
    sender_name = models.CharField(max_length=200, blank=True)
    dedup_key = models.CharField(max_length=255, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    reserved_by = models.UUIDField(null=True)
    consumed_at = models.DateTimeField(null=True)
    consumed_by = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["number"]
        constraints = [
            models.UniqueConstraint(fields=["execution", "number"], name="one_signal_a_number"),
            models.UniqueConstraint(
                fields=["execution", "sender", "dedup_key"],
                condition=~Q(dedup_key=""),
                name="one_signal_a_dedup_key",
            ),
        ]
        indexes = [
            # Serves consuming: what is still there, in order.
            models.Index(
                fields=["execution", "number"],
                condition=Q(consumed_at=None),
                name="signal_pending",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.number}. {self.name}"
