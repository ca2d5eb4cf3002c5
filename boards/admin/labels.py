"""The operators' view of tags and custom fields."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from agents.admin.pages import Page, ReadOnlyPage, actor_of
from boards import patterns
from boards.actions import custom_fields, labels
from boards.models import CustomField, CustomFieldValue, Tag


@admin.register(Tag)
class TagPage(Page):
    """The words that mark tasks."""

    list_display = ("name", "slug", "color", "organization")
    list_select_related = ("organization",)
    list_filter = ("organization",)
    search_fields = ("name", "slug")
    autocomplete_fields = ("organization",)
    fields = ("organization", "name", "slug", "color")
    fixed_fields = ("organization",)
    checks = {"color": labels.check_color}
    create = staticmethod(labels.create_tag)
    change = staticmethod(labels.change_tag)
    remove = staticmethod(labels.delete_tag)

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Tag:
        return labels.create_tag(fields.pop("organization"), fields, by=actor_of(request))


@admin.register(CustomField)
class CustomFieldPage(Page):
    """The fields that tasks of some boards have."""

    list_display = ("key", "name", "type", "is_required", "ui_visibility", "organization")
    list_select_related = ("organization",)
    list_filter = ("type", "is_required", "organization")
    search_fields = ("key", "name")
    autocomplete_fields = ("organization", "boards")
    fixed_fields = ("organization", "key", "type")
    checks = {"validation_regex": patterns.check_pattern}
    create = staticmethod(custom_fields.create_field)
    change = staticmethod(custom_fields.change_field)
    remove = staticmethod(custom_fields.delete_field)

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> CustomField:
        organization = fields.pop("organization")
        values = _with_board_ids(fields)
        return custom_fields.create_field(organization, values, by=actor_of(request))

    def write(self, request: HttpRequest, obj: Any, fields: dict[str, Any]) -> CustomField:
        return custom_fields.change_field(obj, _with_board_ids(fields), by=actor_of(request))


@admin.register(CustomFieldValue)
class CustomFieldValuePage(ReadOnlyPage):
    """What tasks have in custom fields; changed with the task."""

    list_display = ("task", "field", "value")
    list_select_related = ("task", "field")
    search_fields = ("task__title", "field__key")


def _with_board_ids(fields: dict[str, Any]) -> dict[str, Any]:
    if "boards" not in fields:
        return fields
    return {**fields, "boards": [board.id for board in fields["boards"]]}
