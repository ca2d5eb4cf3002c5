"""How agents and people are reached, and what they were told."""

from types import MappingProxyType
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.actions import (
    change_gateway,
    create_gateway,
    delete_gateway,
    rotate_gateway_secret,
)
from agents.activity import Actor
from agents.admin.pages import (
    Page,
    ReadOnlyPage,
    actor_of,
    show_once,
)
from agents.gateways import reach
from agents.messages import resend
from agents.models import (
    Gateway,
    Message,
)
from agents.posting import check_url

# Each takes up to ten seconds.
_CHECKED_AT_MOST = 5


@admin.register(Gateway)
class GatewayPage(Page):
    """How agents outside Signalbox, and people, are reached."""

    list_display = ("name", "organization", "kind", "url", "is_enabled", "updated_at")
    list_select_related = ("organization",)
    list_filter = ("is_enabled", "kind", "organization")
    search_fields = ("name", "organization__name")
    autocomplete_fields = ("organization",)
    fixed_fields = ("organization", "kind")
    readonly_fields = ("created_at", "updated_at")
    checks = MappingProxyType({"url": check_url})
    actions = ("check_answers", "change_secret")
    create = staticmethod(create_gateway)
    change = staticmethod(change_gateway)
    remove = staticmethod(delete_gateway)

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Gateway:
        made = create_gateway(fields.pop("organization"), fields, by=actor_of(request))
        _show_secret(request, made)
        return made

    @admin.action(description="See whether the other side answers", permissions=["view"])
    def check_answers(self, request: HttpRequest, rows: QuerySet[Gateway]) -> None:
        for gateway in rows[:_CHECKED_AT_MOST]:
            problem = reach.check(gateway)
            level = messages.ERROR if problem else messages.SUCCESS
            self.message_user(request, f"{gateway.name}: {problem or 'it answers.'}", level)

    @admin.action(description="Change the secret", permissions=["change"])
    def change_secret(self, request: HttpRequest, rows: QuerySet[Gateway]) -> None:
        def rotate(gateway: Gateway, *, by: Actor) -> None:
            _show_secret(request, rotate_gateway_secret(gateway, by=by))

        self.for_each(request, rows, rotate, "Secrets changed; the old ones sign for 24 hours too")


def _show_secret(request: HttpRequest, gateway: Gateway) -> None:
    if gateway.secret:
        show_once(request, f"The secret of {gateway.name}", gateway.secret)


@admin.register(Message)
class MessagePage(ReadOnlyPage):
    """What was said to agents and people; what failed can be sent again."""

    list_display = ("kind", "recipient_name", "audience", "state", "content", "created_at")
    list_filter = ("state", "kind", "audience", "organization")
    search_fields = ("recipient_name", "correlation_id")
    actions = ("send_again",)

    @admin.action(description="Send again", permissions=["view"])
    def send_again(self, request: HttpRequest, rows: QuerySet[Message]) -> None:
        self.for_each(request, rows, resend, "Messages sent again")
