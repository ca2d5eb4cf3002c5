"""The operators' view of how boards are set up: questions, answers, draft, and the decision."""

from __future__ import annotations

import json
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from agents.activity import Actor
from agents.admin.pages import ReadOnlyPage, labelled
from boards import drafts
from boards.actions import founding, onboarding
from boards.interviewers import standing
from boards.models import OnboardingSession

_COLOURS = {"active": "info", "completed": "warning", "confirmed": "success"}


@admin.register(OnboardingSession)
class OnboardingPage(ReadOnlyPage):
    """The interviews that set boards up; confirmed, taken over and cancelled by the actions."""

    list_display = ("board", "state", "interviewer", "agent", "created_at", "confirmed_at")
    state = labelled("status", _COLOURS)
    list_select_related = ("board", "agent")
    list_filter = ("status", "interviewer")
    search_fields = ("board__name", "agent__name")
    fields = (
        "board",
        "status",
        "interviewer",
        "agent",
        "how_it_stands",
        "interview",
        "the_draft",
        "the_rules",
        "lead",
        "created_at",
        "updated_at",
        "confirmed_at",
    )
    readonly_fields = ("how_it_stands", "interview", "the_draft", "the_rules")
    actions = ("confirm", "take_over", "cancel")

    def get_queryset(self, request: HttpRequest) -> QuerySet[OnboardingSession]:
        rows: QuerySet[OnboardingSession] = super().get_queryset(request)
        return rows.select_related("board__organization", "agent__gateway")

    @admin.display(description="How it stands")
    def how_it_stands(self, session: OnboardingSession) -> str:
        return str(standing(session)["note"])

    @admin.display(description="Questions and answers")
    def interview(self, session: OnboardingSession) -> SafeString | str:
        rows = ((asked["question"], asked.get("answer", "…")) for asked in session.questions)
        told = format_html_join("", "<li>{}<br><strong>{}</strong></li>", rows)
        return format_html("<ol>{}</ol>", told) if told else "-"

    @admin.display(description="Draft")
    def the_draft(self, session: OnboardingSession) -> SafeString | str:
        return _as_lines(session.draft or {})

    @admin.display(description="Rules that confirming it writes")
    def the_rules(self, session: OnboardingSession) -> SafeString | str:
        return _as_lines(drafts.rules_of(session.draft or {}, session.board.approval_required))

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """The right to change onboarding: no page changes one, but these actions do."""
        return bool(request.user.has_perm("boards.change_onboardingsession"))

    @admin.action(description="Confirm the draft", permissions=["decide"])
    def confirm(self, request: HttpRequest, rows: QuerySet[OnboardingSession]) -> None:
        self.for_each(request, rows, _confirm, "Confirmed")

    @admin.action(description="Go on with the built-in interview", permissions=["decide"])
    def take_over(self, request: HttpRequest, rows: QuerySet[OnboardingSession]) -> None:
        self.for_each(request, rows, _take_over, "Taken over")

    @admin.action(description="Cancel", permissions=["decide"])
    def cancel(self, request: HttpRequest, rows: QuerySet[OnboardingSession]) -> None:
        self.for_each(request, rows, _cancel, "Cancelled")


def _confirm(session: OnboardingSession, *, by: Actor) -> None:
    founding.confirm_draft(session.board, by=by, only=session)


def _take_over(session: OnboardingSession, *, by: Actor) -> None:
    onboarding.take_over(session.board, by=by, only=session)


def _cancel(session: OnboardingSession, *, by: Actor) -> None:
    onboarding.cancel_onboarding(session.board, by=by, only=session)


def _as_lines(values: dict[str, Any]) -> SafeString | str:
    rows = ((name, _as_text(value)) for name, value in values.items())
    told = format_html_join("", "<li>{}: <strong>{}</strong></li>", rows)
    return format_html("<ul>{}</ul>", told) if told else "-"


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
