"""The permanent record, and requests that were carried out once."""

from django.contrib import admin

from agents.admin.pages import (
    ReadOnlyPage,
)
from agents.models import (
    Activity,
    IdempotencyKey,
)


@admin.register(Activity)
class ActivityPage(ReadOnlyPage):
    """The permanent record, which nothing changes."""

    list_display = ("created_at", "type", "actor_name", "organization", "agent_id", "task_id")
    list_select_related = ("organization",)
    list_filter = ("actor_kind", "organization")
    search_fields = ("^type", "^actor_name")


@admin.register(IdempotencyKey)
class IdempotencyPage(ReadOnlyPage):
    """Requests that were carried out once; their answers are not shown."""

    list_display = ("created_at", "method", "path", "caller", "response_status", "expires_at")
    search_fields = ("^path", "=key")
    ordering = ("-id",)
    fields = ("caller", "method", "path", "key", "response_status", "execution_id", "expires_at")
