"""The operators' view of incoming webhooks and what they brought."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.admin_pages import Page, ReadOnlyPage, actor_of
from boards.actions import webhooks
from boards.models import Webhook, WebhookPayload
from boards.queries import read_payload

_SHOWN = 10_000


@admin.register(Webhook)
class WebhookPage(Page):
    """The addresses at which the outside world reaches boards."""

    list_display = ("name", "board", "is_enabled", "created_at")
    list_select_related = ("board",)
    list_filter = ("is_enabled",)
    search_fields = ("name", "board__name")
    autocomplete_fields = ("board",)
    fields = ("board", "name", "is_enabled")
    fixed_fields = ("board",)
    create = staticmethod(webhooks.create_webhook)
    change = staticmethod(webhooks.change_webhook)
    remove = staticmethod(webhooks.delete_webhook)

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Webhook:
        return webhooks.create_webhook(fields.pop("board"), fields, by=actor_of(request))


@admin.register(WebhookPayload)
class WebhookPayloadPage(ReadOnlyPage):
    """What webhooks brought; of a long body the beginning is shown."""

    list_display = ("webhook", "content_type", "address", "created_at")
    list_select_related = ("webhook",)
    search_fields = ("webhook__name",)
    fields = ("webhook", "content_type", "headers", "address", "created_at", "beginning")
    readonly_fields = ("beginning",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookPayload]:
        rows: QuerySet[WebhookPayload] = super().get_queryset(request)
        return rows.defer("body")

    @admin.display(description="Body")
    def beginning(self, payload: WebhookPayload) -> str:
        found = read_payload(WebhookPayload.objects.filter(pk=payload.pk), _SHOWN)
        return "" if found is None else found.text + ("…" if found.truncated else "")
