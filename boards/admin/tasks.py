"""The operators' view of tasks."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from agents.admin.pages import Page, actor_of, labelled
from boards.actions import (
    change_task,
    create_task,
    delete_task,
)
from boards.models import Task


@admin.register(Task)
class TaskPage(Page):
    """The cards on boards."""

    list_display = ("title", "board", "column", "priority", "assigned_agent", "due_at")
    column = labelled("status", {"in_progress": "info", "review": "warning", "done": "success"})
    list_select_related = ("board", "assigned_agent")
    list_filter = ("status", "priority")
    search_fields = ("title", "board__name")
    autocomplete_fields = ("board", "assigned_agent")
    fields = (
        "board",
        "title",
        "description",
        "status",
        "priority",
        "assigned_agent",
        "due_at",
        "model",
        "model_settings",
        "max_turns",
        "created_at",
        "updated_at",
    )
    fixed_fields = ("board",)
    readonly_fields = ("created_at", "updated_at")
    create = staticmethod(create_task)
    change = staticmethod(change_task)
    remove = staticmethod(delete_task)

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Task:
        return create_task(fields.pop("board"), fields, by=actor_of(request))
