"""Shapes of tasks, their comments and their moves."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.actions import configuration
from agents.models import Agent
from agents.serializers import (
    ActorField,
    KnownFieldsOnly,
    KnownModelFieldsOnly,
    TenantAgentField,
)
from boards import rejections
from boards.models import Comment, Move, Tag, Task, TaskStatus

_MOST = 200


class CardTagSerializer(serializers.ModelSerializer[Tag]):
    """A tag as a card shows it; `color` is six hexadecimal digits."""

    class Meta:
        model = Tag
        fields = ["id", "name", "slug", "color"]


class IdsField(serializers.ListField):
    """A set of ids."""

    child = serializers.UUIDField()

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=_MOST, **options)


class DependenciesField(IdsField):
    """The tasks that a task waits for; written, they replace those that it had."""

    def get_attribute(self, instance: Task) -> list[UUID]:
        return [each.on_id for each in instance.shown_dependencies]


class ValuesField(serializers.DictField):
    """Values by the key of their custom field; written, the keys that are not named stay."""

    child = serializers.JSONField(allow_null=True)

    def get_attribute(self, instance: Task) -> dict[str, Any]:
        return {each.field.key: each.value for each in instance.shown_values}


@extend_schema_field(configuration.ANSWER_SETTINGS_SHAPE)
class AnswerSettingsField(serializers.JSONField):
    """How a model answers, where it is not as its agent says."""


class RejectionSerializer(serializers.Serializer[Any]):
    """Why work was sent back."""

    exec_id = serializers.UUIDField(allow_null=True)
    reason = serializers.CharField()
    by = serializers.CharField(allow_blank=True)
    at = serializers.DateTimeField()


class RejectionsSerializer(serializers.Serializer[Any]):
    """How often work was sent back, and why: the newest 50 reasons, oldest first."""

    count = serializers.IntegerField()
    reasons = RejectionSerializer(many=True)


class LastExecutionSerializer(serializers.Serializer[Any]):
    """The newest execution of a task; `failure_code` is empty unless it failed."""

    exec_id = serializers.UUIDField()
    status = serializers.CharField()
    failure_code = serializers.CharField(allow_blank=True)


class TaskSerializer(KnownModelFieldsOnly):
    """A card on a board; `tag_ids` replaces the tags that it had."""

    # Of tasks from `queries.as_cards`.

    priority = serializers.IntegerField(required=False, min_value=1, max_value=5)
    assigned_agent = TenantAgentField(queryset=Agent.objects.all(), required=False, allow_null=True)
    depends_on_task_ids = DependenciesField(required=False)
    model = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=200,
        validators=[configuration.check_model],
        help_text="Wins over its agent's.",
    )
    model_settings = AnswerSettingsField(
        required=False, validators=[configuration.check_answer_settings]
    )
    max_turns = serializers.IntegerField(
        required=False, allow_null=True, min_value=1, max_value=500
    )
    tag_ids = IdsField(required=False, write_only=True)
    custom_field_values = ValuesField(required=False)
    tags = CardTagSerializer(source="shown_tags", many=True, read_only=True)
    blocked_by_task_ids = serializers.SerializerMethodField()
    is_blocked = serializers.SerializerMethodField()
    last_execution = LastExecutionSerializer(read_only=True, allow_null=True, default=None)
    rejections = serializers.SerializerMethodField()

    class Meta:
        model = Task
        fields = [
            "id",
            "board",
            "title",
            "description",
            "status",
            "position",
            "priority",
            "assigned_agent",
            "handed_in_by",
            "due_at",
            "model",
            "model_settings",
            "max_turns",
            "depends_on_task_ids",
            "blocked_by_task_ids",
            "is_blocked",
            "tag_ids",
            "tags",
            "custom_field_values",
            "auto_created",
            "auto_reason",
            "created_by_agent",
            "last_execution",
            "rejections",
            "started_at",
            "review_at",
            "done_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = [
            "board",
            "position",
            "handed_in_by",
            "auto_created",
            "auto_reason",
            "created_by_agent",
            "started_at",
            "review_at",
            "done_at",
            "created_at",
            "updated_at",
        ]

    def get_blocked_by_task_ids(self, task: Task) -> list[UUID]:
        return [each.on_id for each in task.shown_dependencies if each.on.status != TaskStatus.DONE]

    def get_is_blocked(self, task: Task) -> bool:
        return bool(self.get_blocked_by_task_ids(task))

    @extend_schema_field(RejectionsSerializer)
    def get_rejections(self, task: Task) -> dict[str, Any]:
        return rejections.told(task.shown_rejections)


class MoveOrderSerializer(KnownFieldsOnly):
    """Where a card goes: its column, and the card behind which it stands (null: first)."""

    status = serializers.ChoiceField(choices=TaskStatus.choices, required=False)
    after = serializers.UUIDField(required=False, allow_null=True)


class DependenciesSerializer(KnownFieldsOnly):
    """What a task waits for; `blocked_by_task_ids` are those that are not done."""

    depends_on_task_ids = DependenciesField()
    blocked_by_task_ids = serializers.ListField(child=serializers.UUIDField(), read_only=True)


class CommentSerializer(KnownModelFieldsOnly):
    """What somebody wrote on a task; `@name`, `@slug` and `@lead` tell those agents of it."""

    author = ActorField("author")
    content = serializers.CharField(trim_whitespace=False)

    class Meta:
        model = Comment
        fields = ["id", "content", "author", "mentioned", "created_at"]
        read_only_fields = ["mentioned", "created_at"]


class MoveSerializer(serializers.ModelSerializer[Move]):
    """One move of a task: who, when, from where to where."""

    actor = ActorField()

    class Meta:
        model = Move
        fields = ["id", "before", "after", "actor", "created_at"]
