"""The operators' view of executions: read, controlled, and edited by nobody."""

from __future__ import annotations

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.messages import ERROR
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminTextInputWidget

from agents.activity import Actor
from agents.admin.pages import ReadOnlyPage, ReadOnlyRows, labelled
from executions import actions, signals
from executions.admin.pages import (
    as_block,
    as_id,
    as_json,
    as_text,
    by_id,
    link,
    short,
)
from executions.documents import todos
from executions.explanation import reasons_of
from executions.models import (
    Checkpoint,
    Condition,
    Entry,
    Event,
    Execution,
    Job,
    Merge,
    ToolCall,
    Worktree,
)
from executions.review.decisions import approve_work, reject_work
from executions.signal_serializers import LONGEST_TEXT
from executions.standing import standing

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
                "answer",
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
        {"fields": ("organization", "agent", "board", "task", "order", "priority", "deadline_at")},
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
    exclude = ("spec", "usage", "diff", "input", "output")
    readonly_fields = (
        "explanation",
        "transcript",
        "to_do",
        "answer",
        "order",
        "configuration",
        "cost",
        "changes",
    )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Execution]:
        rows: QuerySet[Execution] = super().get_queryset(request)
        is_one = bool(request.resolver_match and "object_id" in request.resolver_match.kwargs)
        return rows if is_one else rows.defer("spec", "input", "output", "diff")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        if not search_term or as_id(search_term):
            return by_id(queryset, search_term, "pk"), False
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
        return short(execution.pk)

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
        links = (link(_list_of(model, execution), name) for model, name in kinds)
        return format_html_join(" · ", "{}", ((each,) for each in links))

    @admin.display(description="To do")
    def to_do(self, execution: Execution) -> SafeString:
        """The agent's own list, an item a line."""
        shown = (
            (each["status"].replace("_", " "), each["content"]) for each in todos(execution) or ()
        )
        return format_html_join("", "<p>{}: {}</p>", shown)

    @admin.display(description="Output")
    def answer(self, execution: Execution) -> SafeString | str:
        return "-" if execution.output is None else as_text(execution.output)

    @admin.display(description="Input")
    def order(self, execution: Execution) -> SafeString:
        """The prompt as it stands, where that is all."""
        given = execution.input
        is_prompt = isinstance(given, dict) and set(given) == {"prompt"}
        return as_text(given["prompt"] if is_prompt else given)

    @admin.display(description="Configuration")
    def configuration(self, execution: Execution) -> SafeString:
        """The frozen configuration; of the environment, the names only."""
        spec = execution.spec | {"environment": sorted(execution.spec.get("environment", ()))}
        return as_json(spec)

    @admin.display(description="Usage")
    def cost(self, execution: Execution) -> SafeString:
        return as_json(execution.usage)

    @admin.display(description="Diff")
    def changes(self, execution: Execution) -> SafeString:
        return as_block((execution.diff or {}).get("patch", ""))


def _fork_from_last(execution: Execution, *, by: Actor) -> Execution:
    return actions.fork(execution, checkpoint=execution.checkpoint, by=by)


def _list_of(model: type[Model], execution: Execution) -> str:
    page = reverse(f"admin:executions_{model._meta.model_name}_changelist")
    return f"{page}?execution__id__exact={execution.pk}"
