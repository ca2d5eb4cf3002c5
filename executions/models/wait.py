"""Conditions: what a waiting execution waits for."""

from django.db import models

from agents.models.base import Keyed
from executions.models.execution import Execution


class Condition(Keyed):
    """One timer of a wait. Leaving the wait deletes its rows, so nothing stale can fire."""

    class Kind(models.TextChoices):
        TIMER = "timer"

    execution = models.ForeignKey(Execution, on_delete=models.CASCADE, related_name="conditions")
    wait_number = models.PositiveIntegerField()
    kind = models.CharField(max_length=10, choices=Kind)
    reason = models.CharField(max_length=200, blank=True)
    due_at = models.DateTimeField()

    class Meta:
        ordering = ["due_at"]
        # Serves the sweep: timers in the order in which they are due.
        indexes = [models.Index(fields=["due_at"], name="condition_due")]

    def __str__(self) -> str:
        return f"{self.kind} at {self.due_at}"
