"""Where files of executions are, and merges of approved work."""

from __future__ import annotations

from django.contrib import admin

from agents.admin.pages import labelled
from executions.admin.pages import (
    OfExecution,
)
from executions.models import (
    Merge,
    Worktree,
)


@admin.register(Worktree)
class WorktreePage(OfExecution):
    """Where files of executions are."""

    list_display = ("branch", "of", "status", "host", "updated_at")
    list_filter = ("status", "host")


@admin.register(Merge)
class MergePage(OfExecution):
    """Merges of approved work: how far each is, and what refused it."""

    list_display = (
        "target",
        "of",
        "state",
        "strategy",
        "requester_name",
        "created_at",
        "finished_at",
    )
    state = labelled("status", {"requested": "info", "merged": "success", "refused": "danger"})
    list_filter = ("status",)
    ordering = ("-id",)
