"""Agents, the versions of their souls, and the note that one is at work."""

from django.db import models
from django.db.models.functions import Lower

from agents.models.base import Keyed
from agents.models.gateway import Gateway
from agents.models.organization import Organization


class Agent(Keyed):
    """A configured actor. Empty configuration falls back to its board, then to the settings.

    `tools` is an allow-list (null: fall back, []: none, ["*"]: all); `approval_required` lists the
    calls that need a person, and its board's list adds to it; `actions` maps a name to
    `{prompt, input_schema?, output_schema?}`; `model_settings` has the fields of
    `agents.runtime.spec.ModelSettings`; budgets are in tokens and seconds; `hooks` maps `pre_tool`
    and `post_tool` to dotted paths of functions. An agent of the kind
    `external` runs itself. `last_nudged_at`, `unanswered_nudges`, `found_silent_at` and
    `offline_since`, when it was last seen before it was found offline, are what `agents.liveness`
    remembers. The gateway is of the same organization: `agent_gateway_of_its_own`,
    a foreign key over both columns, which the migration adds.
    """

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="agents")
    name = models.CharField(max_length=200)
    slug = models.SlugField(max_length=80)
    description = models.TextField(blank=True)
    kind = models.CharField(max_length=80, default="react")
    model = models.CharField(max_length=200, blank=True)
    model_settings = models.JSONField(default=dict, blank=True)
    soul = models.TextField(blank=True)
    tools = models.JSONField(null=True, blank=True)
    approval_required = models.JSONField(default=list, blank=True)
    actions = models.JSONField(default=dict, blank=True)
    hooks = models.JSONField(
        default=dict, blank=True, help_text="Functions around each tool call, by dotted path."
    )
    max_turns = models.PositiveIntegerField(null=True, blank=True)
    max_concurrency = models.PositiveIntegerField(
        null=True, blank=True, default=1, help_text="Executions at once; empty means no limit."
    )
    token_budget = models.PositiveIntegerField(null=True, blank=True)
    seconds_budget = models.PositiveIntegerField(null=True, blank=True)
    gateway = models.ForeignKey(
        Gateway,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="agents",
        help_text="How it is reached; empty means its inbox here.",
    )
    is_paused = models.BooleanField(default=False)
    last_seen_at = models.DateTimeField(null=True, blank=True)
    last_nudged_at = models.DateTimeField(null=True, editable=False)
    unanswered_nudges = models.PositiveIntegerField(default=0, editable=False)
    found_silent_at = models.DateTimeField(null=True, editable=False)
    offline_since = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint("organization", Lower("slug"), name="agent_slug_is_taken"),
            models.CheckConstraint(
                condition=models.Q(max_turns__isnull=True) | models.Q(max_turns__range=(1, 500)),
                name="agent_max_turns_1_to_500",
            ),
            models.CheckConstraint(
                condition=models.Q(max_concurrency__isnull=True) | models.Q(max_concurrency__gt=0),
                name="agent_max_concurrency_above_0",
            ),
        ]
        indexes = [
            # Serves the list of an organization's agents, newest first.
            models.Index(fields=["organization", "-id"], name="agent_list"),
            # Serves those that went offline and of which the record does not tell yet.
            models.Index(
                fields=["last_seen_at"],
                condition=models.Q(kind="external")
                & (
                    models.Q(offline_since=None)
                    | models.Q(offline_since__lt=models.F("last_seen_at"))
                ),
                name="agent_going_offline",
            ),
            # Serves those that were nudged in vain and of which nobody was told.
            models.Index(
                fields=["last_nudged_at"],
                condition=models.Q(unanswered_nudges__gte=3, found_silent_at=None),
                name="agent_nudged_in_vain",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class SoulVersion(Keyed):
    """One version of an agent's standing instructions, numbered from 1."""

    agent = models.ForeignKey(Agent, on_delete=models.CASCADE, related_name="soul_versions")
    number = models.PositiveIntegerField()
    content = models.TextField()
    source_url = models.URLField(max_length=2000, blank=True)
    reason = models.TextField(blank=True)
    author_name = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["agent", "number"], name="one_soul_version_a_number"),
        ]

    def __str__(self) -> str:
        return f"{self.agent} soul {self.number}"


class LiveWork(models.Model):
    """That an execution is live: what lower floors must know of it, and nothing more.

    Executions insert the row with the start and delete it with the end, so no counter is
    contended. A task has one live execution at most.
    """

    execution_id = models.UUIDField(primary_key=True)
    agent = models.ForeignKey(Agent, null=True, on_delete=models.PROTECT, related_name="live_work")
    board_id = models.UUIDField(null=True)
    task_id = models.UUIDField(null=True)

    class Meta:
        verbose_name_plural = "live work"
        constraints = [
            models.UniqueConstraint(fields=["task_id"], name="one_live_execution_a_task"),
        ]

    def __str__(self) -> str:
        return str(self.execution_id)
