"""The ledger of tool calls: read, and decided on where a call waits for a person."""

from __future__ import annotations

from functools import partial
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.messages import ERROR
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.safestring import SafeString
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminTextInputWidget

from agents.admin.pages import ReadOnlyPage, labelled
from agents.runtime.tools.catalogue import TOOLS
from executions import tool_decisions
from executions.admin.pages import (
    OfExecution,
    as_block,
    as_json,
    link,
)
from executions.models import (
    ToolCall,
    WholeOutput,
)
from executions.signal_serializers import LONGEST_TEXT


class ReasonForm(ActionForm):  # type: ignore[misc]  # unfold has no types.
    """The choice of an action, and beside it why with `reject`."""

    reason = forms.CharField(
        required=False,
        max_length=LONGEST_TEXT,
        label="",
        widget=UnfoldAdminTextInputWidget({"placeholder": "Why not", "x-show": "action=='reject'"}),
    )


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
        "name",
        "of",
        "turn",
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
        return as_json(call.arguments)

    @admin.display(description="Whole output")
    def whole_output(self, call: ToolCall) -> SafeString | str:
        """A link to what the row shows cut."""
        if call.whole_bytes is None:
            return "-"
        page = reverse("admin:executions_wholeoutput_change", args=[call.pk])
        return link(page, f"{call.whole_bytes} bytes")

    @admin.display(description="Edited arguments")
    def wants_instead(self, call: ToolCall) -> SafeString | str:
        return "-" if call.edited_arguments is None else as_json(call.edited_arguments)


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
        return as_block(whole.text)
