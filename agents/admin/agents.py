"""The operators' view of agents, their souls and their live work."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.actions import (
    configuration,
    configure_agent,
    create_agent,
    delete_agent,
    pause_agent,
    rotate_token,
    slugs,
    unpause_agent,
)
from agents.admin.pages import (
    Page,
    ReadOnlyPage,
    ReadOnlyRows,
    actor_of,
    labelled,
    show_once,
)
from agents.models import (
    Agent,
    AgentToken,
    LiveWork,
    SoulVersion,
)
from agents.presence import with_presence


class SoulRows(ReadOnlyRows):
    """The versions of an agent's soul; a change of the field `soul` adds the next."""

    model = SoulVersion
    fields = ("number", "author_name", "reason", "created_at")
    readonly_fields = fields
    show_change_link = True


class TokenRows(ReadOnlyRows):
    """An agent's tokens, without their secrets."""

    model = AgentToken
    fields = ("name", "prefix", "created_at", "expires_at", "revoked_at", "last_used_at")
    readonly_fields = fields


@admin.register(Agent)
class AgentPage(Page):
    """Agents and their configuration."""

    list_display = ("name", "slug", "organization", "kind", "model", "is_now", "last_seen_at")
    is_now = labelled(
        "presence",
        {"busy": "info", "online": "success", "paused": "warning"},
        description="Status",
    )
    list_select_related = ("organization",)
    list_filter = ("is_paused", "kind", "organization")
    search_fields = ("name", "slug", "organization__name")
    autocomplete_fields = ("organization",)
    fixed_fields = ("organization",)
    readonly_fields = (
        "is_paused",
        "last_seen_at",
        "offline_since",
        "last_nudged_at",
        "unanswered_nudges",
        "created_at",
        "updated_at",
    )
    inlines = (SoulRows, TokenRows)
    actions: tuple[str, ...] = ("pause", "unpause", "rotate_token")
    checks = {**configuration.FIELD_CHECKS, "slug": slugs.check_slug}
    create = staticmethod(create_agent)
    change = staticmethod(configure_agent)
    remove = staticmethod(delete_agent)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        rows: QuerySet[Agent] = super().get_queryset(request)
        is_one = bool(request.resolver_match and "object_id" in request.resolver_match.kwargs)
        return rows if is_one else with_presence(rows.defer("soul"))

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Agent:
        organization = fields.pop("organization")
        return create_agent(organization, fields, by=actor_of(request))

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, rows: QuerySet[Agent]) -> None:
        self.for_each(request, rows, pause_agent, "Agents paused")

    @admin.action(description="Let go on", permissions=["change"])
    def unpause(self, request: HttpRequest, rows: QuerySet[Agent]) -> None:
        self.for_each(request, rows, unpause_agent, "Agents that go on")

    @admin.action(description="Rotate token", permissions=["change"])
    def rotate_token(self, request: HttpRequest, rows: QuerySet[Agent]) -> None:
        for agent in rows:
            _, secret = rotate_token(agent, by=actor_of(request))
            show_once(request, f"The token of {agent}", secret)


@admin.register(SoulVersion)
class SoulPage(ReadOnlyPage):
    """Every version of every soul."""

    list_display = ("agent", "number", "author_name", "reason", "created_at")
    list_select_related = ("agent",)
    search_fields = ("agent__name", "author_name")
    ordering = ("-id",)
    fields = ("agent", "number", "content", "reason", "source_url", "author_name", "created_at")
    readonly_fields = fields


@admin.register(LiveWork)
class LiveWorkPage(ReadOnlyPage):
    """Which executions are live."""

    list_display = ("execution_id", "agent", "board_id", "task_id")
    list_select_related = ("agent",)
    search_fields = ("agent__name",)
