"""The operators' view of approvals, and their decisions."""

from functools import partial

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.text import Truncator
from unfold.forms import ActionForm
from unfold.widgets import UnfoldAdminTextInputWidget

from agents.admin.pages import ReadOnlyPage, ReadOnlyRows, labelled
from boards.actions import decide_approval, withdraw_approval
from boards.models import Approval, ApprovalTask

_SHOWN_TEXT = 80


class DecisionForm(ActionForm):  # type: ignore[misc]  # unfold has no types.
    """The choice of an action, and beside it why; a merge is not rejected without a reason."""

    reason = forms.CharField(
        required=False,
        max_length=20_000,
        label="",
        widget=UnfoldAdminTextInputWidget(
            {"placeholder": "Why", "x-show": "['approve', 'reject'].includes(action)"}
        ),
    )


class ApprovalTaskRows(ReadOnlyRows):
    """The tasks that an approval is about."""

    model = ApprovalTask
    fields = ("task", "is_open")
    ordering = ("id",)


@admin.register(Approval)
class ApprovalPage(ReadOnlyPage):
    """What is asked of people; decided by the actions of the list."""

    list_display = (
        "action_type",
        "why",
        "board",
        "decision",
        "kind",
        "requester_name",
        "created_at",
    )
    decision = labelled(
        "status", {"pending": "warning", "approved": "success", "rejected": "danger"}
    )
    list_select_related = ("board",)
    list_filter = ("status", "kind", "requester_kind")
    search_fields = ("action_type", "reason", "requester_name", "board__name")
    inlines = (ApprovalTaskRows,)
    actions = ("approve", "reject", "withdraw")
    action_form = DecisionForm

    @admin.display(description="Reason")
    def why(self, approval: Approval) -> str:
        """The beginning of what its requester says."""
        return Truncator(approval.reason).chars(_SHOWN_TEXT)

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """The right to change approvals: no page changes one, but these actions do."""
        return bool(request.user.has_perm("boards.change_approval"))

    @admin.action(description="Approve", permissions=["decide"])
    def approve(self, request: HttpRequest, rows: QuerySet[Approval]) -> None:
        self._decide(request, rows, "Approved", approve=True)

    @admin.action(description="Reject", permissions=["decide"])
    def reject(self, request: HttpRequest, rows: QuerySet[Approval]) -> None:
        self._decide(request, rows, "Rejected", approve=False)

    def _decide(
        self, request: HttpRequest, rows: QuerySet[Approval], done: str, *, approve: bool
    ) -> None:
        reason = request.POST.get("reason", "").strip()
        decide = partial(decide_approval, approve=approve, reason=reason)
        self.for_each(request, rows, decide, done)

    @admin.action(description="Withdraw", permissions=["decide"])
    def withdraw(self, request: HttpRequest, rows: QuerySet[Approval]) -> None:
        self.for_each(request, rows, withdraw_approval, "Withdrawn")


@admin.register(ApprovalTask)
class ApprovalTaskPage(ReadOnlyPage):
    """Which approvals are about which tasks."""

    list_display = ("approval", "task", "is_open")
    list_select_related = ("approval", "task")
    list_filter = ("is_open",)
    search_fields = ("task__title", "approval__action_type")
