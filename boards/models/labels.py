"""Labels of tasks: tags, and custom fields with their values."""

from django.db import models
from django.db.models.functions import Lower

from agents.models import Organization
from agents.models.base import Keyed
from boards.models.board import Board
from boards.models.task import Task


class Tag(Keyed):
    """A word that marks tasks of an organization; `color` is six hexadecimal digits."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE, related_name="tags")
    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=80)
    color = models.CharField(max_length=6, default="9e9e9e")
    tasks = models.ManyToManyField(Task, blank=True, related_name="tags")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint("organization", Lower("slug"), name="tag_slug_is_taken"),
            models.CheckConstraint(
                condition=models.Q(color__regex="^[0-9a-f]{6}$"), name="tag_color_is_hexadecimal"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class FieldType(models.TextChoices):
    """What a custom field holds."""

    TEXT = "text"
    TEXT_LONG = "text_long"
    INTEGER = "integer"
    DECIMAL = "decimal"
    BOOLEAN = "boolean"
    DATE = "date"
    DATE_TIME = "date_time"
    URL = "url"
    JSON = "json"


class Visibility(models.TextChoices):
    """When a screen shows a custom field."""

    ALWAYS = "always"
    IF_SET = "if_set"
    HIDDEN = "hidden"


class CustomField(Keyed):
    """A field that tasks of some boards have. Its key does not change."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="custom_fields"
    )
    key = models.SlugField(max_length=80)
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    type = models.CharField(max_length=12, choices=FieldType, default=FieldType.TEXT)
    is_required = models.BooleanField(default=False)
    default = models.JSONField(null=True, blank=True)
    validation_regex = models.CharField(max_length=500, blank=True)
    ui_visibility = models.CharField(max_length=10, choices=Visibility, default=Visibility.ALWAYS)
    boards = models.ManyToManyField(Board, blank=True, related_name="custom_fields")
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        ordering = ["key"]
        constraints = [
            models.UniqueConstraint("organization", Lower("key"), name="field_key_is_taken"),
            models.CheckConstraint(
                condition=models.Q(type__in=FieldType.values), name="field_type"
            ),
        ]

    def __str__(self) -> str:
        return self.key


class CustomFieldValue(Keyed):
    """What a task has in a custom field; a field without a value has no row."""

    task = models.ForeignKey(Task, on_delete=models.CASCADE, related_name="custom_field_values")
    field = models.ForeignKey(CustomField, on_delete=models.CASCADE, related_name="values")
    value = models.JSONField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["task", "field"], name="one_value_a_field"),
        ]

    def __str__(self) -> str:
        return f"{self.field}: {self.value}"
