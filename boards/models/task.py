"""Tasks: the cards on a board, what they wait for, and how they moved."""

import time
from typing import TYPE_CHECKING

from django.db import models

from agents.models import ActorKind, Agent
from agents.models.base import Keyed
from boards.models.board import Board

if TYPE_CHECKING:  # They refer to tasks.
    from boards.models.approval import Approval
    from boards.models.labels import CustomFieldValue, Tag


class TaskStatus(models.TextChoices):
    """The columns of a board."""

    INBOX = "inbox"
    IN_PROGRESS = "in_progress"
    REVIEW = "review"
    DONE = "done"


class Task(Keyed):
    """A card on a board. `priority` runs from 1, the highest, to 5.

    `position` orders a column, lowest first; a new card stands last. `handed_in_by` is the worker
    who gets the card back from review. `started_at`, `review_at` and `done_at` are the times when
    it last entered in_progress, review and done: what was said or decided before does not count.
    `model`, `model_settings` and `max_turns`, where given, win over those of the agent that works
    on it; the settings are those of how a model answers.
    """

    board = models.ForeignKey(Board, on_delete=models.CASCADE, related_name="tasks")
    title = models.CharField(max_length=500)
    description = models.TextField(blank=True)
    status = models.CharField(max_length=12, choices=TaskStatus, default=TaskStatus.INBOX)
    position = models.FloatField(default=time.time)
    priority = models.PositiveSmallIntegerField(default=3)
    assigned_agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="tasks"
    )
    handed_in_by = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    due_at = models.DateTimeField(null=True, blank=True)
    model = models.CharField(max_length=200, blank=True)
    model_settings = models.JSONField(default=dict, blank=True)
    max_turns = models.PositiveIntegerField(null=True, blank=True)
    auto_created = models.BooleanField(default=False)
    auto_reason = models.CharField(max_length=200, blank=True)
    created_by_agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    depends_on = models.ManyToManyField(
        "self",
        through="Dependency",
        through_fields=("task", "on"),
        symmetrical=False,
        related_name="dependents",
    )
    started_at = models.DateTimeField(null=True, blank=True)
    review_at = models.DateTimeField(null=True, blank=True)
    done_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    # Of a task from `queries.as_cards`.
    shown_dependencies: list["Dependency"]
    shown_tags: list["Tag"]
    shown_values: list["CustomFieldValue"]
    shown_rejections: list["Approval"]

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=TaskStatus.values), name="task_status"
            ),
            models.CheckConstraint(
                condition=models.Q(priority__range=(1, 5)), name="task_priority_1_to_5"
            ),
            models.CheckConstraint(
                condition=models.Q(max_turns__isnull=True) | models.Q(max_turns__range=(1, 500)),
                name="task_max_turns_1_to_500",
            ),
        ]
        indexes = [
            # Serves a board's list, newest first.
            models.Index(fields=["board", "-id"], name="task_list"),
            # Serves the same of some columns.
            models.Index(fields=["board", "status", "-id"], name="task_columns"),
            # Serves the columns as they stand on the board.
            models.Index(fields=["board", "status", "position"], name="task_positions"),
            # Serves what nobody has yet on a board, newest first.
            models.Index(
                fields=["board", "-id"],
                condition=models.Q(assigned_agent=None),
                name="task_unassigned",
            ),
            # Serves what is assigned to an agent.
            models.Index(fields=["assigned_agent", "-id"], name="task_of_agent"),
        ]

    def __str__(self) -> str:
        return self.title


class Dependency(Keyed):
    """That a task waits for another one of its board; there is no circle of them."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="dependencies")
    on = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="+")

    class Meta:
        verbose_name_plural = "dependencies"
        constraints = [
            models.UniqueConstraint(fields=["task", "on"], name="one_dependency_each"),
            models.CheckConstraint(
                condition=~models.Q(task=models.F("on")), name="no_task_waits_for_itself"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.task_id} waits for {self.on_id}"


class Move(Keyed):
    """One move of a task: who moved it, when, from where to where."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="moves")
    before = models.CharField(max_length=12, choices=TaskStatus)
    after = models.CharField(max_length=12, choices=TaskStatus)
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        # Serves the history of a task, newest first.
        indexes = [models.Index(fields=["task", "-id"], name="moves_of_task")]

    def __str__(self) -> str:
        return f"{self.before} to {self.after}"


class Comment(Keyed):
    """What somebody wrote on a task. `mentioned` are the agents that it names."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="comments")
    content = models.TextField()
    author_kind = models.CharField(max_length=10, choices=ActorKind)
    author_id = models.UUIDField(null=True)
    author_name = models.CharField(max_length=200, blank=True)
    mentioned = models.ManyToManyField(Agent, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["id"]
        # Serves the comments of a task, oldest first.
        indexes = [models.Index(fields=["task", "id"], name="comments_of_task")]

    def __str__(self) -> str:
        return self.content[:80]
