"""What agent code has under way: steps, jobs, and what it waits for."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from executions.admin.pages import (
    OfExecution,
)
from executions.engine import job_cancel
from executions.models import (
    Condition,
    Job,
    Signal,
    Step,
)


@admin.register(Step)
class StepPage(OfExecution):
    """What agent code has done, by the keys of its author."""

    list_display = ("key", "of", "kind", "created_at", "finished_at")
    ordering = ("-id",)


@admin.register(Job)
class JobPage(OfExecution):
    """Work in the background of executions; what changes a job is an action."""

    list_display = (
        "kind",
        "of",
        "key",
        "status",
        "attempt",
        "failure_code",
        "due_at",
        "finished_at",
    )
    list_filter = ("status",)
    ordering = ("-id",)
    actions = ("cancel",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Job]:
        rows: QuerySet[Job] = super().get_queryset(request)
        is_one = bool(request.resolver_match and "object_id" in request.resolver_match.kwargs)
        return rows if is_one else rows.defer("input", "output")

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Who may change jobs may cancel them; nobody edits their rows."""
        return bool(request.user.has_perm("executions.change_job"))

    @admin.action(description="Cancel", permissions=["control"])
    def cancel(self, request: HttpRequest, rows: QuerySet[Job]) -> None:
        self.for_each(request, rows, job_cancel.cancel, "Jobs cancelled")


@admin.register(Condition)
class ConditionPage(OfExecution):
    """What executions wait for."""

    list_display = ("kind", "of", "name", "target_id", "reason", "due_at", "met_at")
    ordering = ("due_at",)


@admin.register(Signal)
class SignalPage(OfExecution):
    """What was sent to executions, and what they consumed."""

    list_display = ("number", "of", "name", "sender_name", "created_at", "consumed_at")
    ordering = ("-id",)
