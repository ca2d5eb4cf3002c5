"""What a board remembers, and how it was set up."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models

from agents.models import ActorKind, Agent
from agents.models.base import Keyed
from boards.models.board import Board

# The configuration of full-text search; a query must use the one of the index.
SEARCH_LANGUAGE = "english"


class MemoryEntry(Keyed):
    """One thing that a board remembers; the tag `chat` makes it a line of its chat."""

    board = models.ForeignKey(Board, on_delete=models.CASCADE, related_name="memory")
    content = models.TextField()
    tags = ArrayField(models.CharField(max_length=80), default=list, blank=True)
    source = models.CharField(max_length=200, blank=True)
    is_chat = models.BooleanField(default=False)
    author_kind = models.CharField(max_length=10, choices=ActorKind)
    author_id = models.UUIDField(null=True)
    author_name = models.CharField(max_length=200, blank=True)
    words = models.GeneratedField(
        expression=SearchVector("content", config=SEARCH_LANGUAGE),
        output_field=SearchVectorField(),
        db_persist=True,
    )
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "memory entries"
        indexes = [
            # Serves a board's memory, newest first.
            models.Index(fields=["board", "-id"], name="memory_list"),
            # Serves its chat, or all but its chat.
            models.Index(fields=["board", "is_chat", "-id"], name="memory_chat"),
            # Serves the search for words.
            GinIndex(fields=["words"], name="memory_words"),
        ]

    def __str__(self) -> str:
        return self.content[:80]


class OnboardingStatus(models.TextChoices):
    """How far the setting-up of a board came."""

    ACTIVE = "active"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    CANCELLED = "cancelled"


class Interviewer(models.TextChoices):
    """Who asks the questions of an onboarding."""

    MAIN_AGENT = "main_agent"
    BUILT_IN = "built_in"


class OnboardingSession(Keyed):
    """The interview that sets a board up: its questions with answers, and the draft.

    `questions` is a list of `{key, question, about?, options?, asked_by?, answer?, value?}`: `key`
    tells one from the others, `about` is the field of the draft that the answer is for, `value`
    what the built-in interview understood of it. `agent` is the main agent that asks, `lead` who
    leads the board since the draft was confirmed. `said` counts what the agent was told, `heard`
    how much of that a run was begun for, where Signalbox runs it.
    """

    board = models.ForeignKey(Board, on_delete=models.CASCADE, related_name="onboarding_sessions")
    status = models.CharField(
        max_length=10, choices=OnboardingStatus, default=OnboardingStatus.ACTIVE
    )
    interviewer = models.CharField(
        max_length=10, choices=Interviewer, default=Interviewer.MAIN_AGENT
    )
    agent = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    questions = models.JSONField(default=list, blank=True)
    draft = models.JSONField(null=True, blank=True)
    draft_edited_at = models.DateTimeField(null=True, blank=True)
    said = models.PositiveIntegerField(default=0)
    heard = models.PositiveIntegerField(default=0)
    lead = models.ForeignKey(
        Agent, null=True, blank=True, on_delete=models.SET_NULL, related_name="+"
    )
    lead_created = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=OnboardingStatus.values), name="onboarding_status"
            ),
            models.CheckConstraint(
                condition=models.Q(interviewer__in=Interviewer.values),
                name="onboarding_interviewer",
            ),
            models.CheckConstraint(
                condition=models.Q(status="confirmed", confirmed_at__isnull=False)
                | (~models.Q(status="confirmed") & models.Q(confirmed_at=None)),
                name="a_confirmation_has_its_time",
            ),
            models.CheckConstraint(
                condition=models.Q(status__in=["active", "cancelled"])
                | models.Q(draft__isnull=False),
                name="a_finished_onboarding_has_a_draft",
            ),
            models.UniqueConstraint(
                fields=["board"],
                condition=models.Q(status__in=["active", "completed"]),
                name="one_live_onboarding_a_board",
            ),
        ]
        indexes = [
            # Serves the sweep's look for agents that have not heard what they were told.
            models.Index(
                fields=["id"],
                condition=models.Q(
                    status="active", interviewer="main_agent", said__gt=models.F("heard")
                ),
                name="onboarding_not_heard",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.board}: {self.status}"
