"""The operators' view of executions, their transcripts and their workers: read, and controlled."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import admin
from django.contrib.messages import ERROR
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminTextInputWidget

from agents.activity import Actor
from agents.admin_pages import ReadOnlyPage, ReadOnlyRows, labelled
from executions import actions, signals
from executions.engine import job_cancel
from executions.explanation import reasons_of
from executions.models import (
    Checkpoint,
    Condition,
    Entry,
    Event,
    Execution,
    Job,
    Signal,
    Step,
    ToolCall,
    Worker,
    Worktree,
)
from executions.signal_serializers import LONGEST_TEXT
from executions.standing import standing

_SHOWN_TEXT = 120
# Tokens and seconds, of which nobody can say how many will do, are extended over REST.
_TURNS_AT_ONCE = 10
# What an operator asks first stands first; the rest of the row follows by itself.
_SECTIONS: tuple[tuple[str, dict[str, Any]], ...] = (
    (
        "What became of it",
        {
            "fields": (
                "status",
                "explanation",
                "transcript",
                "output",
                "changes",
                "pause_reason",
                "blocked_by",
                "failure_code",
                "failure_message",
                "cancel_reason",
            )
        },
    ),
    (
        "What was asked",
        {"fields": ("organization", "agent", "board", "task", "input", "priority", "deadline_at")},
    ),
    (
        "What it took",
        {
            "fields": (
                "turn",
                "max_turns",
                "token_budget",
                "seconds_budget",
                "recoveries",
                "cost",
                "created_at",
                "started_at",
                "finished_at",
            )
        },
    ),
    (
        "What it comes from",
        {"fields": ("parent", "retry_of", "forked_from", "fork_position", "depth")},
    ),
    ("What it is made of", {"fields": ("configuration",)}),
)


class OfExecution(ReadOnlyPage):
    """Rows of an execution, found by its id."""

    search_fields = ("execution",)
    search_help_text = "The id of an execution"
    # A choice of executions would read all of them.
    list_filter: tuple[Any, ...] = ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return _by_id(queryset, search_term, "execution_id"), False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # The links of an execution's page.
        return lookup == "execution__id__exact" or bool(
            super().lookup_allowed(lookup, value, request)
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return [field.name for field in self.opts.concrete_fields]


class WorktreeRow(ReadOnlyRows):
    """Where an execution's files are."""

    model = Worktree
    fields = ("status", "host", "path", "branch", "base", "error")
    readonly_fields = fields


class ConditionRows(ReadOnlyRows):
    """What an execution waits for."""

    model = Condition
    fields = ("kind", "name", "target_id", "reason", "due_at", "met_at")
    readonly_fields = fields


class SpokenForm(ActionForm):  # type: ignore[misc]  # unfold has no types.
    """The choice of an action, and beside it what is said with `say`."""

    said = forms.CharField(
        required=False,
        max_length=LONGEST_TEXT,
        label="",
        widget=UnfoldAdminTextInputWidget(
            {"placeholder": "What to say", "x-show": "action=='say'"}
        ),
    )


@admin.register(Execution)
class ExecutionPage(ReadOnlyPage):
    """Executions; what changes them is an action, and a refusal is shown."""

    list_display = (
        "short_id",
        "state",
        "agent_name",
        "organization",
        "board",
        "turn",
        "blocked_by",
        "failure_code",
        "queued_at",
        "finished_at",
    )
    state = labelled(
        "status",
        {
            "running": "info",
            "waiting": "warning",
            "paused": "warning",
            "completed": "success",
            "failed": "danger",
        },
    )
    list_select_related = ("organization", "board")
    list_filter = ("status", "pause_reason", "blocked_by", "kind", "organization")
    search_fields = ("id",)
    search_help_text = "An execution's id, or the name of its agent"
    actions = ("say", "cancel", "pause", "resume", "extend", "finish", "retry", "fork")
    action_form = SpokenForm
    inlines = (ConditionRows, WorktreeRow)
    exclude = ("spec", "usage", "diff")
    readonly_fields = ("explanation", "transcript", "configuration", "cost", "changes")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Execution]:
        rows: QuerySet[Execution] = super().get_queryset(request)
        is_one = bool(request.resolver_match and "object_id" in request.resolver_match.kwargs)
        return rows if is_one else rows.defer("spec", "input", "output", "diff")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term or _as_id(search_term):
            return _by_id(queryset, search_term, "pk"), False
        return queryset.filter(agent_name__istartswith=search_term), False

    def get_fieldsets(self, request: HttpRequest, obj: Model | None = None) -> Any:
        named = {name for _, options in _SECTIONS for name in options["fields"]}
        own = [field.name for field in self.opts.concrete_fields]
        rest = [name for name in own if name not in named and name not in self.exclude]
        return [*_SECTIONS, ("Fence, queue and numbers", {"fields": rest, "classes": ["collapse"]})]

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Who may change executions may control them; nobody edits their rows."""
        return bool(request.user.has_perm("executions.change_execution"))

    @admin.action(description="Say something", permissions=["control"])
    def say(self, request: HttpRequest, rows: QuerySet[Execution]) -> None:
        said = request.POST.get("said", "").strip()
        if not said:
            self.message_user(request, "Write beside the action what to say.", ERROR)
            return
        self.for_each(request, rows, partial(signals.send_message, text=said), "Executions told")

    @admin.action(description="Cancel", permissions=["control"])
    def cancel(self, request: HttpRequest, rows: QuerySet[Execution]) -> None:
        self.for_each(request, rows, actions.cancel, "Executions cancelled")

    @admin.action(description="Pause", permissions=["control"])
    def pause(self, request: HttpRequest, rows: QuerySet[Execution]) -> None:
        self.for_each(request, rows, actions.pause, "Executions paused")

    @admin.action(description="Resume", permissions=["control"])
    def resume(self, request: HttpRequest, rows: QuerySet[Execution]) -> None:
        self.for_each(request, rows, actions.resume, "Executions resumed")

    @admin.action(description=f"Extend by {_TURNS_AT_ONCE} turns", permissions=["control"])
    def extend(self, request: HttpRequest, rows: QuerySet[Execution]) -> None:
        extend = partial(actions.extend, turns=_TURNS_AT_ONCE)
        self.for_each(request, rows, extend, "Executions extended")

    @admin.action(description="Finish as it is", permissions=["control"])
    def finish(self, request: HttpRequest, rows: QuerySet[Execution]) -> None:
        self.for_each(request, rows, actions.finish, "Executions finished")

    @admin.action(description="Retry afresh", permissions=["control"])
    def retry(self, request: HttpRequest, rows: QuerySet[Execution]) -> None:
        self.for_each(request, rows, actions.retry, "Executions retried")

    @admin.action(description="Fork from the last checkpoint", permissions=["control"])
    def fork(self, request: HttpRequest, rows: QuerySet[Execution]) -> None:
        self.for_each(request, rows, _fork_from_last, "Executions forked")

    @admin.display(description="Why")
    def explanation(self, execution: Execution) -> SafeString:
        """Why it is not running, or how it ended; a sentence a line."""
        reasons = reasons_of(standing(execution))
        return format_html_join("", "<p>{} {}</p>", ((each.text, each.goes_on) for each in reasons))

    @admin.display(description="Id", ordering="id")
    def short_id(self, execution: Execution) -> SafeString:
        """The end of the id, which tells executions of one minute apart; all of it on a hover."""
        short = f"…{str(execution.pk)[-8:]}"
        shown = '<span class="whitespace-nowrap" title="{}">{}</span>'
        return format_html(shown, execution.pk, short)

    @admin.display(description="Transcript")
    def transcript(self, execution: Execution) -> SafeString:
        """Links to the rows of this execution."""
        kinds: tuple[tuple[type[Model], str], ...] = (
            (Entry, "entries"),
            (Event, "events"),
            (ToolCall, "tool calls"),
            (Job, "jobs"),
            (Checkpoint, "checkpoints"),
        )
        links = [(_list_of(model, execution), name) for model, name in kinds]
        return format_html_join(" · ", '<a href="{}">{}</a>', links)

    @admin.display(description="Configuration")
    def configuration(self, execution: Execution) -> SafeString:
        """The frozen configuration; of the environment, the names only."""
        spec = execution.spec | {"environment": sorted(execution.spec.get("environment", ()))}
        return _as_json(spec)

    @admin.display(description="Usage")
    def cost(self, execution: Execution) -> SafeString:
        return _as_json(execution.usage)

    @admin.display(description="Diff")
    def changes(self, execution: Execution) -> SafeString:
        return _as_block((execution.diff or {}).get("patch", ""))


@admin.register(Entry)
class EntryPage(OfExecution):
    """Items of conversations."""

    list_display = ("id", "execution_id", "position", "turn", "type", "role", "text", "created_at")
    ordering = ("-id",)

    @admin.display(description="Text")
    def text(self, entry: Entry) -> str:
        return str(entry.content.get("text", ""))[:_SHOWN_TEXT]


@admin.register(Event)
class EventPage(OfExecution):
    """Numbered facts of executions."""

    list_display = ("id", "execution_id", "seq", "type", "created_at")
    ordering = ("-id",)


@admin.register(ToolCall)
class ToolCallPage(OfExecution):
    """Every tool call: the audit log."""

    list_display = ("id", "execution_id", "turn", "name", "status", "runs", "started_at")
    list_filter = ("status",)
    ordering = ("-id",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ToolCall]:
        rows: QuerySet[ToolCall] = super().get_queryset(request)
        is_one = bool(request.resolver_match and "object_id" in request.resolver_match.kwargs)
        return rows if is_one else rows.defer("output", "arguments")


@admin.register(Job)
class JobPage(OfExecution):
    """Work in the background of executions; what changes a job is an action."""

    list_display = (
        "id",
        "execution_id",
        "kind",
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


@admin.register(Checkpoint)
class CheckpointPage(OfExecution):
    """Numbered snapshots."""

    list_display = ("id", "execution_id", "sequence", "position", "turn", "created_at")
    ordering = ("-id",)


@admin.register(Condition)
class ConditionPage(OfExecution):
    """What executions wait for."""

    list_display = ("id", "execution_id", "kind", "name", "target_id", "reason", "due_at", "met_at")
    ordering = ("due_at",)


@admin.register(Signal)
class SignalPage(OfExecution):
    """What was sent to executions, and what they consumed."""

    list_display = ("number", "execution_id", "name", "sender_name", "created_at", "consumed_at")
    ordering = ("-id",)


@admin.register(Step)
class StepPage(OfExecution):
    """What agent code has done, by the keys of its author."""

    list_display = ("key", "execution_id", "kind", "created_at", "finished_at")
    ordering = ("-id",)


@admin.register(Worktree)
class WorktreePage(OfExecution):
    """Where files of executions are."""

    list_display = ("branch", "execution_id", "status", "host", "updated_at")
    list_filter = ("status", "host")


@admin.register(Worker)
class WorkerPage(ReadOnlyPage):
    """Processes that carry out executions, and when each last gave a sign."""

    list_display = ("name", "seen_at", "queues", "running", "concurrency", "is_draining")
    list_filter = ("is_draining",)
    search_fields = ("^name",)


def _fork_from_last(execution: Execution, *, by: Actor) -> Execution:
    return actions.fork(execution, checkpoint=execution.checkpoint, by=by)


def _by_id(rows: QuerySet[Any], text: str, field: str) -> QuerySet[Any]:
    if not text:
        return rows
    key = _as_id(text)
    return rows.filter(**{field: key}) if key else rows.none()


def _as_id(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def _list_of(model: type[Model], execution: Execution) -> str:
    page = reverse(f"admin:executions_{model._meta.model_name}_changelist")
    return f"{page}?execution__id__exact={execution.pk}"


def _as_json(value: Any) -> SafeString:
    return _as_block(json.dumps(value, indent=2, ensure_ascii=False))


def _as_block(text: str) -> SafeString:
    """Text as it stands, with long lines broken rather than the page widened."""
    return format_html('<pre class="whitespace-pre-wrap break-all">{}</pre>', text)
