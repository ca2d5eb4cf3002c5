"""The organization's permanent record: append-only, and it outlives what it tells of."""

from django.db import models
from django.db.models.expressions import RawSQL

from agents.models.base import Keyed
from agents.models.organization import Organization

# That an agent that Signalbox runs was at work; lines of a floor above.
OF_WORK = ("execution.started", "execution.completed")


class ActorKind(models.TextChoices):
    """Who did it."""

    MEMBER = "member"
    KEY = "key"
    AGENT = "agent"
    SYSTEM = "system"


class Activity(Keyed):
    """One line: who did what to which things, and the facts of it.

    The ids are plain values without foreign keys: deleting a task or an agent keeps its past.
    `xact` is the writing transaction; streams read in its order, so that resuming skips nothing.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="+")
    type = models.CharField(max_length=60)
    actor_kind = models.CharField(max_length=10, choices=ActorKind)
    actor_id = models.UUIDField(null=True)
    actor_name = models.CharField(max_length=200, blank=True)
    agent_id = models.UUIDField(null=True)
    board_id = models.UUIDField(null=True)
    task_id = models.UUIDField(null=True)
    execution_id = models.UUIDField(null=True)
    data = models.JSONField(default=dict)
    xact = models.BigIntegerField(
        db_default=RawSQL("(pg_current_xact_id()::text::bigint)", ()), editable=False
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "activity"
        indexes = [
            # Each serves the record of one thing, newest first.
            models.Index(fields=["organization", "-id"], name="activity_of_organization"),
            models.Index(fields=["organization", "type", "-id"], name="activity_of_type"),
            models.Index(fields=["agent_id", "-id"], name="activity_of_agent"),
            models.Index(fields=["board_id", "-id"], name="activity_of_board"),
            models.Index(fields=["task_id", "-id"], name="activity_of_task"),
            models.Index(fields=["execution_id", "-id"], name="activity_of_execution"),
            # Serves when an agent last worked.
            models.Index(
                fields=["agent_id", "-id"],
                condition=models.Q(type__in=OF_WORK),
                name="activity_of_work",
            ),
            # Serves streams, which read in the order of commits.
            models.Index(fields=["organization", "xact", "id"], name="activity_stream"),
        ]

    def __str__(self) -> str:
        return self.type
