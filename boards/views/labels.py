"""The operators' endpoints of tags and custom fields."""

from typing import Any

from django.db.models import Prefetch, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view

from agents.collections import Fields, Versioned
from agents.filters import Filters
from agents.rest.pagination import NewestFirst
from boards.actions import custom_fields, labels
from boards.models import Board, CustomField, FieldType, Tag
from boards.serializers.labels import CustomFieldSerializer, TagSerializer
from boards.views.below import BOARDS_CHANGES


class ByName(NewestFirst):
    """Pages in the order of names; of tags of one name, any."""

    ordering = "name"


class ByKey(NewestFirst):
    """Pages in the order of keys."""

    ordering = "key"


class TagFilter(Filters):
    """Which tags; `search` looks into their names."""

    search = filters.CharFilter(field_name="name", lookup_expr="icontains")

    class Meta:
        model = Tag
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List tags by name"),
    create=extend_schema(summary="Create a tag"),
    retrieve=extend_schema(summary="Read a tag"),
    partial_update=extend_schema(summary="Change a tag"),
    destroy=extend_schema(summary="Delete a tag, and take it off all tasks"),
)
class TagViewSet(Versioned[Tag]):
    queryset = Tag.objects.all()
    serializer_class = TagSerializer
    filterset_class = TagFilter
    pagination_class = ByName
    required_scope = BOARDS_CHANGES
    lookup_url_kwarg = "tag_id"

    def add(self, fields: Fields) -> Tag:
        return labels.create_tag(self.organization, fields, by=self.actor)

    def change(self, found: Tag, fields: Fields) -> Tag:
        return labels.change_tag(found, fields, by=self.actor)

    def perform_destroy(self, instance: Tag) -> None:
        labels.delete_tag(instance, by=self.actor)


class CustomFieldFilter(Filters):
    """Which custom fields: those of a board, of a type."""

    board = filters.UUIDFilter(field_name="boards")
    type = filters.ChoiceFilter(choices=FieldType.choices)

    class Meta:
        model = CustomField
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List custom fields by key"),
    create=extend_schema(summary="Create a custom field"),
    retrieve=extend_schema(summary="Read a custom field"),
    partial_update=extend_schema(summary="Change a custom field"),
    destroy=extend_schema(summary="Delete a custom field with its values"),
)
class CustomFieldViewSet(Versioned[CustomField]):
    queryset = CustomField.objects.all()
    serializer_class = CustomFieldSerializer
    filterset_class = CustomFieldFilter
    pagination_class = ByKey
    required_scope = BOARDS_CHANGES
    lookup_url_kwarg = "field_id"

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset()
        return rows.prefetch_related(Prefetch("boards", Board.objects.only("id")))

    def add(self, fields: Fields) -> CustomField:
        return custom_fields.create_field(self.organization, fields, by=self.actor)

    def change(self, found: CustomField, fields: Fields) -> CustomField:
        return custom_fields.change_field(found, fields, by=self.actor)

    def perform_destroy(self, instance: CustomField) -> None:
        custom_fields.delete_field(instance, by=self.actor)
