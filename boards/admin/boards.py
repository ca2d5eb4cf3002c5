"""The operators' view of boards and seats."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.widgets import UnfoldAdminTextareaWidget

from agents.actions import slugs
from agents.admin.pages import Page, RowActions, actor_of, paused
from boards.actions import (
    change_seat,
    configuration,
    configure_board,
    create_board,
    delete_board,
    pause_board,
    seat_agent,
    unpause_board,
    unseat_agent,
)
from boards.models import Board, Seat


class SeatRows(TabularInline):  # type: ignore[misc]  # unfold has no types.
    """The seats of a board."""

    model = Seat
    extra = 0
    fields = ("agent", "role", "created_at")
    readonly_fields = ("created_at",)
    autocomplete_fields = ("agent",)
    tab = True


class BoardForm(forms.ModelForm):  # type: ignore[type-arg]  # Not generic at run time.
    """A board; the values of its environment go in and are never shown."""

    environment = forms.JSONField(
        required=False,
        widget=UnfoldAdminTextareaWidget,
        validators=[configuration.check_environment_changes],
        help_text='Variables to set, {"NAME": "value"}; null takes one away, the rest stays.',
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["environment"] = {}


@admin.register(Board)
class BoardPage(Page):
    """Boards, their limits and repositories."""

    form = BoardForm
    list_display = ("name", "slug", "organization", "paused", "max_concurrent", "worker_queue")
    paused = paused
    list_select_related = ("organization",)
    list_filter = ("is_paused", "organization")
    search_fields = ("name", "slug", "organization__name")
    autocomplete_fields = ("organization",)
    fixed_fields = ("organization",)
    readonly_fields = ("is_paused", "environment_names", "created_at", "updated_at")
    inlines = (SeatRows,)
    actions = ("pause", "unpause")
    checks = {
        **{
            name: check
            for name, check in configuration.FIELD_CHECKS.items()
            if name != "environment"
        },
        "slug": slugs.check_slug,
    }
    create = staticmethod(create_board)
    change = staticmethod(configure_board)
    remove = staticmethod(delete_board)
    row_actions = {
        Seat: RowActions(
            add=lambda row, by: seat_agent(row.board, row.agent, role=row.role, by=by),
            change=change_seat,
            remove=unseat_agent,
        )
    }

    @admin.display(description="Environment")
    def environment_names(self, board: Board) -> str:
        return ", ".join(sorted(board.environment)) or "-"

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Board:
        organization = fields.pop("organization")
        return create_board(organization, fields, by=actor_of(request))

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, rows: QuerySet[Board]) -> None:
        self.for_each(request, rows, pause_board, "Boards paused")

    @admin.action(description="Let go on", permissions=["change"])
    def unpause(self, request: HttpRequest, rows: QuerySet[Board]) -> None:
        self.for_each(request, rows, unpause_board, "Boards that go on")


@admin.register(Seat)
class SeatPage(Page):
    """Which agent sits where."""

    list_display = ("agent", "board", "role", "created_at")
    list_select_related = ("agent", "board")
    list_filter = ("role",)
    search_fields = ("agent__name", "board__name")
    autocomplete_fields = ("agent", "board")
    fields = ("board", "agent", "role")
    fixed_fields = ("board", "agent")
    create = staticmethod(seat_agent)
    change = staticmethod(change_seat)
    remove = staticmethod(unseat_agent)

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Seat:
        return seat_agent(
            fields["board"], fields["agent"], role=fields["role"], by=actor_of(request)
        )

    def write(self, request: HttpRequest, obj: Any, fields: dict[str, Any]) -> Seat:
        return change_seat(obj, fields.get("role", obj.role), by=actor_of(request))
