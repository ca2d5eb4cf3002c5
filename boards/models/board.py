"""Boards, and the seats that agents have on them."""

from django.db import models
from django.db.models.functions import Lower

from agents.models import Agent, Organization
from agents.models.base import Keyed


class MergeStrategy(models.TextChoices):
    """What the default branch's history shows of approved work."""

    MERGE = "merge"
    SQUASH = "squash"
    REBASE = "rebase"


class Board(Keyed):
    """A shared goal with its tasks, rules, limits and repository.

    The rules stand in the order in which they are asked (`boards.rules`); `max_agents` limits the
    workers that a lead may seat. `success_metrics` maps a metric's name to what it should reach.
    `repository` is a path on the worker's host or a URL that git can fetch; `copied_files` are
    paths below a local repository that each worktree gets though git does not track them;
    `environment` holds the variables of its agents' Bash. Empty `tools`, `model` and `max_turns`
    fall back to the settings. `approval_required` lists calls of tools that need a person, beside
    those that an agent's own list names.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="boards")
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80)
    description = models.TextField(blank=True)
    objective = models.TextField(blank=True)
    success_metrics = models.JSONField(default=dict, blank=True)
    target_date = models.DateField(null=True, blank=True)
    block_status_changes_with_pending_approval = models.BooleanField(default=False)
    require_review_before_done = models.BooleanField(default=False)
    require_approval_for_done = models.BooleanField(default=True)
    comment_required_for_review = models.BooleanField(default=False)
    only_lead_can_change_status = models.BooleanField(default=False)
    max_agents = models.PositiveIntegerField(default=10)
    auto_start = models.BooleanField(default=False)
    is_paused = models.BooleanField(default=False)
    max_concurrent = models.PositiveIntegerField(
        null=True, blank=True, default=3, help_text="Executions at once; empty means no limit."
    )
    max_queue = models.PositiveIntegerField(default=50)
    worker_queue = models.CharField(max_length=60, default="executions")
    repository = models.CharField(max_length=1000, blank=True)
    default_branch = models.CharField(max_length=200, default="main")
    merge_strategy = models.CharField(
        max_length=6, choices=MergeStrategy, default=MergeStrategy.MERGE
    )
    setup_command = models.TextField(blank=True)
    copied_files = models.JSONField(default=list, blank=True)
    environment = models.JSONField(default=dict, blank=True)
    model = models.CharField(max_length=200, blank=True)
    tools = models.JSONField(null=True, blank=True)
    approval_required = models.JSONField(default=list, blank=True)
    max_turns = models.PositiveIntegerField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint("organization", Lower("slug"), name="board_slug_is_taken"),
            models.CheckConstraint(
                condition=models.Q(max_concurrent__isnull=True) | models.Q(max_concurrent__gt=0),
                name="board_max_concurrent_above_0",
            ),
            models.CheckConstraint(
                condition=models.Q(max_turns__isnull=True) | models.Q(max_turns__range=(1, 500)),
                name="board_max_turns_1_to_500",
            ),
            models.CheckConstraint(
                condition=models.Q(merge_strategy__in=MergeStrategy.values),
                name="board_merge_strategy",
            ),
        ]
        # Serves the list of an organization's boards, newest first.
        indexes = [models.Index(fields=["organization", "-id"], name="board_list")]

    def __str__(self) -> str:
        return self.name


class SeatRole(models.TextChoices):
    """An agent's part on its board."""

    LEAD = "lead"
    WORKER = "worker"


class Seat(Keyed):
    """An agent's place on one board; an agent has one at most, a board has one lead at most."""

    agent = models.OneToOneField(Agent, on_delete=models.CASCADE, related_name="seat")
    board = models.ForeignKey(Board, on_delete=models.CASCADE, related_name="seats")
    role = models.CharField(max_length=10, choices=SeatRole, default=SeatRole.WORKER)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["board"], condition=models.Q(role="lead"), name="one_lead_a_board"
            ),
            models.CheckConstraint(condition=models.Q(role__in=SeatRole.values), name="seat_role"),
        ]

    def __str__(self) -> str:
        return f"{self.agent}, {self.role} of {self.board}"
