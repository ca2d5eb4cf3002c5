"""Shapes of tags and custom fields."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.serializers import KnownModelFieldsOnly, slug_field
from boards import patterns
from boards.actions.labels import check_color
from boards.models import CustomField, Tag


class TagSerializer(KnownModelFieldsOnly):
    """A word that marks tasks; without a slug, its name makes one."""

    slug = slug_field()
    color = serializers.CharField(
        required=False, min_length=6, max_length=6, validators=[check_color]
    )

    class Meta:
        model = Tag
        fields = ["id", "name", "slug", "color", "created_at", "updated_at"]
        read_only_fields = ["created_at", "updated_at"]


@extend_schema_field({"type": ["string", "number", "boolean", "object", "array"]})
class DefaultField(serializers.JSONField):
    """What a new task gets; null is none."""


@extend_schema_field(
    {"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": 1000}
)
class BoardIdsField(serializers.ListField):
    """The boards whose tasks have the field."""

    child = serializers.UUIDField()

    def to_representation(self, boards: Any) -> list[str]:
        return sorted(str(board.id) for board in boards.all())


class CustomFieldSerializer(KnownModelFieldsOnly):
    """A field that tasks of some boards have; its key and its type stay."""

    required = serializers.BooleanField(source="is_required", required=False)  # type: ignore[assignment]  # Declared fields leave the class.
    default = DefaultField(required=False, allow_null=True)
    validation_regex = serializers.CharField(
        required=False, allow_blank=True, max_length=patterns.LONGEST, trim_whitespace=False
    )
    boards = BoardIdsField(required=False, max_length=1000)

    class Meta:
        model = CustomField
        fields = [
            "id",
            "key",
            "name",
            "description",
            "type",
            "required",
            "default",
            "validation_regex",
            "ui_visibility",
            "boards",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["created_at", "updated_at"]
        extra_kwargs = {"type": {"required": True}}
