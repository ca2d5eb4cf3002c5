"""Processes that carry out executions."""

from __future__ import annotations

from django.contrib import admin

from agents.admin.pages import ReadOnlyPage
from executions.models import (
    Worker,
)


@admin.register(Worker)
class WorkerPage(ReadOnlyPage):
    """Processes that carry out executions, and when each last gave a sign."""

    list_display = ("name", "seen_at", "queues", "running", "concurrency", "is_draining")
    list_filter = ("is_draining",)
    search_fields = ("^name",)
