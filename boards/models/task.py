"""Tasks: the cards on a board."""

from django.db import models

from agents.models import Agent
from agents.models.base import Keyed
from boards.models.board import Board


class TaskStatus(models.TextChoices):
    """The columns of a board."""

    INBOX = "inbox"
    IN_PROGRESS = "in_progress"
    REVIEW = "review"
    DONE = "done"


class Task(Keyed):
    """A card on a board. `priority` runs from 1, the highest, to 5."""

    board = models.ForeignKey(Board, on_delete=models.CASCADE, related_name="tasks")
    title = models.CharField(max_length=500)
    description = models.TextField(blank=True)
    status = models.CharField(max_length=12, choices=TaskStatus, default=TaskStatus.INBOX)
    priority = models.PositiveSmallIntegerField(default=3)
    assigned_agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="tasks"
    )
    due_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=TaskStatus.values), name="task_status"
            ),
            models.CheckConstraint(
                condition=models.Q(priority__range=(1, 5)), name="task_priority_1_to_5"
            ),
        ]
        # Serves a board's columns, newest first.
        indexes = [models.Index(fields=["board", "status", "-id"], name="task_columns")]

    def __str__(self) -> str:
        return self.title
