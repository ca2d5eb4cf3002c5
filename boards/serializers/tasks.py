"""Shapes of tasks, their comments and their moves."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers

from agents.models import Agent
from agents.serializers import (
    ActorField,
    KnownFieldsOnly,
    KnownModelFieldsOnly,
    TenantAgentField,
)
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


class TaskSerializer(KnownModelFieldsOnly):
    """A card on a board; `tag_ids` replaces the tags that it had."""

    # Of tasks from `queries.as_cards`.

    priority = serializers.IntegerField(required=False, min_value=1, max_value=5)
    assigned_agent = TenantAgentField(queryset=Agent.objects.all(), required=False, allow_null=True)
    depends_on_task_ids = DependenciesField(required=False)
    tag_ids = IdsField(required=False, write_only=True)
    custom_field_values = ValuesField(required=False)
    tags = CardTagSerializer(source="shown_tags", many=True, read_only=True)
    blocked_by_task_ids = serializers.SerializerMethodField()
    is_blocked = serializers.SerializerMethodField()

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
            "depends_on_task_ids",
            "blocked_by_task_ids",
            "is_blocked",
            "tag_ids",
            "tags",
            "custom_field_values",
            "auto_created",
            "auto_reason",
            "created_by_agent",
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
