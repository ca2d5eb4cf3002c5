"""Shapes of boards and seats."""

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.actions import configuration as of_agents
from agents.models import Agent
from agents.serializers import (
    LARGEST_INTEGER,
    ApprovalRequiredField,
    KnownModelFieldsOnly,
    TenantAgentField,
    ToolsField,
    limit_field,
    slug_field,
)
from boards.actions import configuration
from boards.models import Board, Seat


@extend_schema_field(configuration.COPIED_FILES_SHAPE)
class CopiedFilesField(serializers.JSONField):
    """Paths below the repository."""


@extend_schema_field(configuration.ENVIRONMENT_CHANGES_SHAPE)
class EnvironmentField(serializers.JSONField):
    """Variables to set, and with null to take away; the rest stays as it is."""


@extend_schema_field(configuration.SUCCESS_METRICS_SHAPE)
class MetricsField(serializers.JSONField):
    """What each metric should reach."""


class BoardSerializer(KnownModelFieldsOnly):
    """A board. Of its environment only the names are ever shown."""

    slug = slug_field()
    success_metrics = MetricsField(required=False, validators=[configuration.check_success_metrics])
    max_agents = serializers.IntegerField(
        required=False, min_value=0, max_value=configuration.MOST_AGENTS
    )
    max_concurrent = limit_field()
    max_queue = serializers.IntegerField(required=False, min_value=0, max_value=LARGEST_INTEGER)
    max_turns = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=500
    )
    worker_queue = serializers.CharField(
        required=False, max_length=60, validators=[configuration.check_queue]
    )
    repository = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=1000,
        validators=[configuration.check_repository],
    )
    default_branch = serializers.CharField(
        required=False, max_length=200, validators=[configuration.check_branch]
    )
    copied_files = CopiedFilesField(required=False, validators=[configuration.check_copied_files])
    environment = EnvironmentField(
        required=False, write_only=True, validators=[configuration.check_environment_changes]
    )
    environment_names = serializers.SerializerMethodField()
    model = serializers.CharField(
        required=False, allow_blank=True, max_length=200, validators=[of_agents.check_model]
    )
    tools = ToolsField(required=False, allow_null=True, validators=[of_agents.check_tools])
    approval_required = ApprovalRequiredField()

    class Meta:
        model = Board
        fields = [
            "id",
            "name",
            "slug",
            "description",
            "objective",
            "success_metrics",
            "target_date",
            "block_status_changes_with_pending_approval",
            "require_review_before_done",
            "require_approval_for_done",
            "comment_required_for_review",
            "only_lead_can_change_status",
            "max_agents",
            "auto_start",
            "is_paused",
            "max_concurrent",
            "max_queue",
            "worker_queue",
            "repository",
            "default_branch",
            "merge_strategy",
            "setup_command",
            "copied_files",
            "environment",
            "environment_names",
            "model",
            "tools",
            "approval_required",
            "max_turns",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["is_paused", "created_at", "updated_at"]

    def get_environment_names(self, board: Board) -> list[str]:
        return sorted(board.environment)


class SeatSerializer(KnownModelFieldsOnly):
    """An agent's place on a board; the agent of a seat cannot be changed."""

    agent = TenantAgentField(queryset=Agent.objects.all())

    class Meta:
        model = Seat
        fields = ["id", "board", "agent", "role", "created_at"]
        read_only_fields = ["board", "created_at"]

    def validate_agent(self, agent: Agent) -> Agent:
        if self.instance and agent != self.instance.agent:
            raise serializers.ValidationError("Seat another agent instead.", code="fixed")
        return agent
