"""What a board remembers, and how it was set up."""

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models

from agents.models import ActorKind
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


class OnboardingSession(Keyed):
    """The interview that sets a board up: its questions with answers, and the draft.

    `questions` is a list of `{question, options?, answer?}`.
    """

    board = models.ForeignKey(Board, on_delete=models.CASCADE, related_name="onboarding_sessions")
    status = models.CharField(
        max_length=10, choices=OnboardingStatus, default=OnboardingStatus.ACTIVE
    )
    questions = models.JSONField(default=list, blank=True)
    draft = models.JSONField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(status__in=OnboardingStatus.values), name="onboarding_status"
            ),
            models.UniqueConstraint(
                fields=["board"],
                condition=~models.Q(status="confirmed"),
                name="one_open_onboarding_a_board",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.board}: {self.status}"
