"""Schedules of nudges, and the times at which they ran."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import models
from django.db.models.functions import Length
from django.db.models.lookups import LessThanOrEqual

from agents.models import Agent, Organization
from agents.models.base import Keyed
from boards.models.board import Board


class NudgeCondition(models.TextChoices):
    """What has to hold of an agent for it to be nudged (`boards.recipients` says when it does)."""

    IDLE_WITH_INBOX = "idle_with_inbox", "Idle with work in the inbox"
    SILENT_IN_PROGRESS = "silent_in_progress", "In progress without a sign of life"
    APPROVAL_PENDING = "approval_pending", "Approval pending"
    ALWAYS = "always", "Always"


TIMED = (NudgeCondition.SILENT_IN_PROGRESS, NudgeCondition.APPROVAL_PENDING)
LONGEST_MINUTES = 366 * 24 * 60
LONGEST_MESSAGE = 10_000


class NudgeSchedule(Keyed):
    """Who is nudged when, and with what words.

    It names a board, whose agents are meant, or agents: one of the two, which its actions hold
    under its lock, since a constraint sees one table. It runs by a `crontab` of five fields in
    `time_zone`, or every `interval_minutes`. `minutes` belong to the condition. An agent that was
    nudged within `cool_down_minutes`, by whomever, is passed over.
    """

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="schedules"
    )
    name = models.CharField(max_length=200)
    is_enabled = models.BooleanField(default=True)
    board = models.ForeignKey(
        Board, null=True, blank=True, on_delete=models.CASCADE, related_name="schedules"
    )
    agents = models.ManyToManyField(Agent, blank=True, related_name="+")
    crontab = models.CharField(max_length=100, blank=True)
    interval_minutes = models.PositiveIntegerField(null=True, blank=True)
    time_zone = models.CharField(max_length=64, default="UTC")
    message = models.TextField(max_length=LONGEST_MESSAGE)
    condition = models.CharField(max_length=20, choices=NudgeCondition)
    minutes = models.PositiveIntegerField(null=True, blank=True)
    cool_down_minutes = models.PositiveIntegerField(default=60)
    next_run_at = models.DateTimeField(null=True, editable=False)
    last_run_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            # A null is neither in a range nor out of it, and a constraint that is null holds.
            models.CheckConstraint(
                condition=models.Q(crontab="", interval_minutes__isnull=False)
                | (~models.Q(crontab="") & models.Q(interval_minutes=None)),
                name="schedule_has_a_crontab_or_an_interval",
            ),
            models.CheckConstraint(
                condition=models.Q(interval_minutes=None)
                | models.Q(interval_minutes__range=(1, LONGEST_MINUTES)),
                name="schedule_interval_1_minute_to_a_year",
            ),
            models.CheckConstraint(
                condition=models.Q(condition__in=NudgeCondition.values), name="schedule_condition"
            ),
            models.CheckConstraint(
                condition=models.Q(condition__in=TIMED, minutes__isnull=False)
                | (~models.Q(condition__in=TIMED) & models.Q(minutes=None)),
                name="schedule_has_the_minutes_of_its_condition",
            ),
            models.CheckConstraint(
                condition=models.Q(minutes=None) | models.Q(minutes__range=(1, LONGEST_MINUTES)),
                name="schedule_minutes_1_to_a_year",
            ),
            models.CheckConstraint(
                condition=models.Q(cool_down_minutes__range=(0, LONGEST_MINUTES)),
                name="schedule_cool_down_a_year_at_most",
                violation_error_message="The cool-down is a year at most (527040 minutes).",
            ),
            models.CheckConstraint(
                condition=LessThanOrEqual(Length("message"), LONGEST_MESSAGE),
                name="schedule_message_10000_characters_at_most",
                violation_error_message="The message has 10000 characters at most.",
            ),
            models.CheckConstraint(
                condition=models.Q(is_enabled=True, next_run_at__isnull=False)
                | models.Q(is_enabled=False, next_run_at=None),
                name="a_schedule_is_due_exactly_while_enabled",
            ),
        ]
        indexes = [
            # Serve the list of an organization's schedules, newest first, and of a board's.
            models.Index(fields=["organization", "-id"], name="schedule_list"),
            models.Index(fields=["board", "-id"], name="schedule_list_of_board"),
            # Serves what is to run next.
            models.Index(
                fields=["next_run_at"], condition=models.Q(is_enabled=True), name="schedule_due"
            ),
        ]

    def __str__(self) -> str:
        return self.name


# Who is nudged this late has cooled down so long after that, others so long after the due time.
ON_TIME = timedelta(minutes=1)


class Occurrence(Keyed):
    """One run of a schedule: whom it has nudged so far.

    `after` is the last agent that was looked at; until `finished_at` there may be more.
    """

    schedule = models.ForeignKey(
        NudgeSchedule, on_delete=models.CASCADE, related_name="occurrences"
    )
    due_at = models.DateTimeField()
    started_at = models.DateTimeField()
    after = models.UUIDField(null=True)
    nudged = models.PositiveIntegerField(default=0)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["schedule", "due_at"], name="one_occurrence_a_due_time"
            ),
        ]
        indexes = [
            # Serves the occurrences of a schedule, newest first.
            models.Index(fields=["schedule", "-id"], name="occurrence_list"),
            # Serves what is to be gone on with.
            models.Index(
                fields=["id"],
                condition=models.Q(finished_at=None),
                name="occurrence_unfinished",
            ),
            # Serves the pruning of what is old.
            models.Index(fields=["started_at"], name="occurrence_age"),
        ]

    def __str__(self) -> str:
        return f"{self.schedule}, {self.due_at:%Y-%m-%d %H:%M}"

    def moment(self, now: datetime) -> datetime:
        """From when the cool-downs of those count that are nudged now. Between the moments when two
        runs really begin there may be a few seconds less than between those when they are due."""
        return now if now - self.due_at >= ON_TIME else self.due_at
