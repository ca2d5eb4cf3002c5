"""The operators' view of webhook endpoints: where to, what was delivered, and once more."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.actions import (
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    give_up,
    ping,
    redeliver,
    redeliver_failed,
    rotate_endpoint_secret,
    subscriptions,
)
from agents.activity import Actor
from agents.admin.pages import Page, ReadOnlyPage, ReadOnlyRows, actor_of, labelled, show_once
from agents.models import Delivery, DeliveryAttempt, WebhookEndpoint
from agents.posting import check_url


@admin.register(WebhookEndpoint)
class EndpointPage(Page):
    """Where lines of the record are posted; a secret is shown once, when it is made."""

    list_display = (
        "name",
        "organization",
        "url",
        "is_enabled",
        "disabled_because",
        "failures",
        "failing_since",
    )
    list_select_related = ("organization",)
    list_filter = ("is_enabled", "disabled_because", "organization")
    search_fields = ("name", "organization__name")
    fields = ("organization", "name", "url", "types", "is_enabled")
    readonly_fields = (
        "disabled_because",
        "failures",
        "failing_since",
        "due_at",
        "previous_secret_until",
        "created_at",
        "updated_at",
    )
    autocomplete_fields = ("organization",)
    fixed_fields = ("organization",)
    checks = {"url": check_url, "types": subscriptions.check_types}
    actions = ("enable", "send_ping", "send_failed_again", "change_secret")
    create = staticmethod(create_endpoint)
    change = staticmethod(change_endpoint)
    remove = staticmethod(delete_endpoint)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.fields, *self.readonly_fields) if obj else self.fields

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> WebhookEndpoint:
        made = create_endpoint(fields.pop("organization"), fields, by=actor_of(request))
        show_once(request, f"The secret of {made}", made.secret)
        return made

    @admin.action(description="Switch on", permissions=["change"])
    def enable(self, request: HttpRequest, rows: QuerySet[WebhookEndpoint]) -> None:
        def switch_on(endpoint: WebhookEndpoint, *, by: Actor) -> None:
            change_endpoint(endpoint, {"is_enabled": True}, by=by)

        self.for_each(request, rows, switch_on, "Endpoints switched on")

    @admin.action(description="Send a ping", permissions=["change"])
    def send_ping(self, request: HttpRequest, rows: QuerySet[WebhookEndpoint]) -> None:
        self.for_each(request, rows, ping, "Pings on their way")

    @admin.action(description="Send again what was given up", permissions=["change"])
    def send_failed_again(self, request: HttpRequest, rows: QuerySet[WebhookEndpoint]) -> None:
        self.for_each(request, rows, redeliver_failed, "Endpoints sent again what was given up")

    @admin.action(description="Change the secret", permissions=["change"])
    def change_secret(self, request: HttpRequest, rows: QuerySet[WebhookEndpoint]) -> None:
        def rotate(endpoint: WebhookEndpoint, *, by: Actor) -> None:
            made = rotate_endpoint_secret(endpoint, by=by)
            show_once(request, f"The secret of {made}", made.secret)

        self.for_each(request, rows, rotate, "Secrets changed; the old ones sign for 24 hours too")


class TryRows(ReadOnlyRows):
    """The tries of a delivery."""

    model = DeliveryAttempt
    fields = ("number", "started_at", "status", "problem", "milliseconds")
    readonly_fields = fields


@admin.register(Delivery)
class DeliveryPage(ReadOnlyPage):
    """What endpoints were told; each can be sent again, and what holds up the others given up."""

    list_display = ("type", "endpoint", "shown_state", "attempts", "created_at", "delivered_at")
    shown_state = labelled(
        "state",
        {"pending": "info", "delivered": "success", "failed": "danger"},
        description="State",
    )
    list_select_related = ("endpoint",)
    list_filter = ("state", "endpoint")
    search_fields = ("^type",)
    ordering = ("-id",)
    inlines = (TryRows,)
    actions = ("send_again", "give_up")

    @admin.action(description="Send again", permissions=["view"])
    def send_again(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        self.for_each(request, rows, redeliver, "Deliveries sent again")

    @admin.action(description="Give up", permissions=["view"])
    def give_up(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        self.for_each(request, rows, give_up, "Deliveries given up")


@admin.register(DeliveryAttempt)
class AttemptPage(ReadOnlyPage):
    """Every try of every delivery."""

    list_display = ("delivery", "number", "started_at", "status", "problem", "milliseconds")
    list_select_related = ("delivery__endpoint",)
    search_fields = ("=delivery__id",)
    ordering = ("-id",)
