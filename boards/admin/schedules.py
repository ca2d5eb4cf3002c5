"""The operators' view of schedules of nudges and their runs."""

from types import MappingProxyType
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.admin.pages import Page, ReadOnlyPage, ReadOnlyRows, actor_of
from boards import timing
from boards.actions import occurrences, schedules
from boards.models import NudgeSchedule, Occurrence


class OccurrenceRows(ReadOnlyRows):
    """The last runs of a schedule."""

    model = Occurrence
    fields = ("due_at", "started_at", "finished_at", "nudged")
    readonly_fields = fields


@admin.register(NudgeSchedule)
class SchedulePage(Page):
    """Who is nudged when, and when next."""

    list_display = ("name", "board", "condition", "is_enabled", "next_run_at", "last_run_at")
    list_select_related = ("board",)
    list_filter = ("is_enabled", "condition", "organization")
    search_fields = ("name", "board__name")
    autocomplete_fields = ("organization", "board", "agents")
    fields = (
        "organization",
        "name",
        "is_enabled",
        "board",
        "agents",
        "crontab",
        "interval_minutes",
        "time_zone",
        "condition",
        "minutes",
        "cool_down_minutes",
        "message",
    )
    readonly_fields = ("next_run_at", "last_run_at", "created_at", "updated_at")
    fixed_fields = ("organization",)
    checks = MappingProxyType(
        {"crontab": timing.check_crontab, "time_zone": timing.check_zone},
    )
    inlines = (OccurrenceRows,)
    actions = ("run_now",)
    create = staticmethod(schedules.create_schedule)
    change = staticmethod(schedules.change_schedule)
    remove = staticmethod(schedules.delete_schedule)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.fields, *self.readonly_fields) if obj else self.fields

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> NudgeSchedule:
        organization = fields.pop("organization")
        values = _with_agent_ids(fields)
        return schedules.create_schedule(organization, values, by=actor_of(request))

    def write(self, request: HttpRequest, obj: Any, fields: dict[str, Any]) -> NudgeSchedule:
        return schedules.change_schedule(obj, _with_agent_ids(fields), by=actor_of(request))

    @admin.action(description="Run now", permissions=["change"])
    def run_now(self, request: HttpRequest, rows: QuerySet[NudgeSchedule]) -> None:
        self.for_each(request, rows, occurrences.run_now, "Schedules run")


@admin.register(Occurrence)
class OccurrencePage(ReadOnlyPage):
    """Every run of every schedule."""

    list_display = ("schedule", "due_at", "started_at", "finished_at", "nudged")
    list_select_related = ("schedule",)
    search_fields = ("schedule__name",)
    ordering = ("-id",)


def _with_agent_ids(fields: dict[str, Any]) -> dict[str, Any]:
    if "agents" not in fields:
        return fields
    return {**fields, "agents": [agent.pk for agent in fields["agents"]]}
