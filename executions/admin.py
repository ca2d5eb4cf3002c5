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
from agents.runtime.tools.catalogue import TOOLS
from executions import actions, admin_of_work, signals, tool_decisions  # noqa: F401  Its pages are registered.
from executions.documents import todos
from executions.engine import job_cancel
from executions.explanation import reasons_of
from executions.models import (
    Checkpoint,
    Condition,
    Entry,
    Event,
    Execution,
    Job,
    Merge,
    Signal,
    Step,
    ToolCall,
    WholeOutput,
    Worker,
    Worktree,
)
from executions.review.decisions import approve_work, reject_work
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
                "to_do",
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
    fields = ("status", "host", "path", "branch", "base", "merge_sha", "error")
    readonly_fields = fields


class ConditionRows(ReadOnlyRows):
    """What an execution waits for."""

    model = Condition
    fields = ("kind", "name", "target_id", "reason", "due_at", "met_at")
    readonly_fields = fields


class MergeRows(ReadOnlyRows):
    """The merges of an execution's work."""

    model = Merge
    fields = ("status", "strategy", "target", "sha", "requester_name", "problem", "finished_at")
    readonly_fields = fields


class SpokenForm(ActionForm):  # type: ignore[misc]  # unfold has no types.
    """The choice of an action, and beside it what is said with `say`, or why with `reject`."""

    said = forms.CharField(
        required=False,
        max_length=LONGEST_TEXT,
        label="",
        widget=UnfoldAdminTextInputWidget(
            {"placeholder": "What to say", "x-show": "['say', 'reject'].includes(action)"}
        ),
    )


class ReasonForm(ActionForm):  # type: ignore[misc]  # unfold has no types.
    """The choice of an action, and beside it why with `reject`."""

    reason = forms.CharField(
        required=False,
        max_length=LONGEST_TEXT,
        label="",
        widget=UnfoldAdminTextInputWidget({"placeholder": "Why not", "x-show": "action=='reject'"}),
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
    actions = (
        "say",
        "cancel",
        "pause",
        "resume",
        "extend",
        "finish",
        "retry",
        "fork",
        "approve",
        "reject",
    )
    action_form = SpokenForm
    inlines = (ConditionRows, WorktreeRow, MergeRows)
    exclude = ("spec", "usage", "diff")
    readonly_fields = ("explanation", "transcript", "to_do", "configuration", "cost", "changes")

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

    @admin.action(description="Approve the work, and merge it", permissions=["control"])
    def approve(self, request: HttpRequest, rows: QuerySet[Execution]) -> None:
        self.for_each(request, rows, approve_work, "Approved, and merged by a worker")

    @admin.action(description="Send the work back", permissions=["control"])
    def reject(self, request: HttpRequest, rows: QuerySet[Execution]) -> None:
        reason = request.POST.get("said", "").strip()
        if not reason:
            self.message_user(request, "Write beside the action why.", ERROR)
            return
        self.for_each(request, rows, partial(reject_work, reason=reason), "Sent back")

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

    @admin.display(description="To do")
    def to_do(self, execution: Execution) -> SafeString:
        """The agent's own list, an item a line."""
        shown = (
            (each["status"].replace("_", " "), each["content"]) for each in todos(execution) or ()
        )
        return format_html_join("", "<p>{}: {}</p>", shown)

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


class ByTool(admin.SimpleListFilter):
    """Calls of one tool. The choice is of the tools that exist: to ask for the names that were
    ever called would read every row."""

    title = "tool"
    parameter_name = "name"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in TOOLS]

    def queryset(self, request: HttpRequest, rows: QuerySet[ToolCall]) -> QuerySet[ToolCall]:
        return rows.filter(name=self.value()) if self.value() else rows


@admin.register(ToolCall)
class ToolCallPage(OfExecution):
    """Every tool call: the audit log."""

    list_display = (
        "id",
        "execution_id",
        "turn",
        "name",
        "state",
        "decision",
        "decider_name",
        "runs",
        "started_at",
    )
    state = labelled("status", {"awaiting_approval": "warning", "denied": "danger"})
    list_filter = ("status", "decision", "needs_approval", ByTool)
    ordering = ("-id",)
    actions = ("approve", "reject")
    action_form = ReasonForm
    exclude = ("arguments", "edited_arguments")

    def get_queryset(self, request: HttpRequest) -> QuerySet[ToolCall]:
        rows: QuerySet[ToolCall] = super().get_queryset(request)
        is_one = bool(request.resolver_match and "object_id" in request.resolver_match.kwargs)
        return rows if is_one else rows.defer("output", "arguments")

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        own = super().get_readonly_fields(request, obj)
        rest = [name for name in own if name not in self.exclude]
        return ["wants", "wants_instead", "whole_output", *rest]

    def has_control_permission(self, request: HttpRequest) -> bool:
        """Who may change calls may decide on them; nobody edits their rows."""
        return bool(request.user.has_perm("executions.change_toolcall"))

    @admin.action(description="Approve as it is", permissions=["control"])
    def approve(self, request: HttpRequest, rows: QuerySet[ToolCall]) -> None:
        self.for_each(request, rows, tool_decisions.approve, "Tool calls approved")

    @admin.action(description="Reject", permissions=["control"])
    def reject(self, request: HttpRequest, rows: QuerySet[ToolCall]) -> None:
        reason = request.POST.get("reason", "").strip()
        if not reason:
            self.message_user(request, "Write beside the action why; the model is told.", ERROR)
            return
        reject = partial(tool_decisions.reject, reason=reason)
        self.for_each(request, rows, reject, "Tool calls rejected")

    @admin.display(description="Arguments")
    def wants(self, call: ToolCall) -> SafeString:
        return _as_json(call.arguments)

    @admin.display(description="Whole output")
    def whole_output(self, call: ToolCall) -> SafeString | str:
        """A link to what the row shows cut."""
        if call.whole_bytes is None:
            return "-"
        page = reverse("admin:executions_wholeoutput_change", args=[call.pk])
        return format_html('<a href="{}">{} bytes</a>', page, call.whole_bytes)

    @admin.display(description="Edited arguments")
    def wants_instead(self, call: ToolCall) -> SafeString | str:
        return "-" if call.edited_arguments is None else _as_json(call.edited_arguments)


@admin.register(WholeOutput)
class WholeOutputPage(ReadOnlyPage):
    """Outputs that are too long for the rows of their calls, which link here."""

    list_display = ("call_id",)
    ordering = ("-call_id",)
    fields = ("call", "output")
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[WholeOutput]:
        rows: QuerySet[WholeOutput] = super().get_queryset(request)
        is_one = bool(request.resolver_match and "object_id" in request.resolver_match.kwargs)
        return rows.select_related("call") if is_one else rows.defer("text")

    @admin.display(description="Output")
    def output(self, whole: WholeOutput) -> SafeString:
        return _as_block(whole.text)


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


@admin.register(Merge)
class MergePage(OfExecution):
    """Merges of approved work: how far each is, and what refused it."""

    list_display = (
        "id",
        "execution_id",
        "state",
        "strategy",
        "target",
        "requester_name",
        "created_at",
        "finished_at",
    )
    state = labelled("status", {"requested": "info", "merged": "success", "refused": "danger"})
    list_filter = ("status",)
    ordering = ("-id",)


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
