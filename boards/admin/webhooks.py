"""The operators' view of incoming webhooks and what they brought."""

from types import MappingProxyType
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from agents.activity import Actor
from agents.admin.pages import Page, ReadOnlyPage, actor_of, labelled
from boards.actions import payloads, webhooks
from boards.hooks import words
from boards.models import Webhook, WebhookPayload
from boards.queries import read_payload

_SHOWN = 10_000
_COLOURS = {"started": "success", "waiting": "warning", "failed": "danger"}


@admin.register(Webhook)
class WebhookPage(Page):
    """The addresses at which the outside world reaches boards; a secret is shown once."""

    list_display = ("name", "board", "is_enabled", "signed", "agent", "start_agent", "created_at")
    list_select_related = ("board", "agent", "start_agent")
    list_filter = ("is_enabled",)
    search_fields = ("name", "board__name")
    autocomplete_fields = ("board", "agent", "start_agent")
    fields = (
        "board",
        "name",
        "is_enabled",
        "signature_header",
        "delivery_header",
        "agent",
        "start_agent",
        "start_prompt",
    )
    readonly_fields = ("address", "signed")
    fixed_fields = ("board",)
    checks = MappingProxyType(
        {
            "signature_header": webhooks.check_header,
            "delivery_header": webhooks.check_header,
            "start_prompt": words.check_template,
        }
    )
    actions = ("change_secret",)
    create = staticmethod(webhooks.create_webhook)
    change = staticmethod(webhooks.change_webhook)
    remove = staticmethod(webhooks.delete_webhook)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return (*self.fields, *self.readonly_fields) if obj else self.fields

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Webhook:
        made = webhooks.create_webhook(fields.pop("board"), fields, by=actor_of(request))
        _show_secret(request, made)
        return made

    @admin.display(description="Address")
    def address(self, webhook: Webhook) -> str:
        return f"/api/v0/hooks/{webhook.pk}"

    @admin.display(description="Signed", boolean=True)
    def signed(self, webhook: Webhook) -> bool:
        return webhook.is_signed

    @admin.action(description="Change the secret", permissions=["change"])
    def change_secret(self, request: HttpRequest, rows: QuerySet[Webhook]) -> None:
        def rotate(webhook: Webhook, *, by: Actor) -> None:
            _show_secret(request, webhooks.rotate_webhook_secret(webhook, by=by))

        done = "Secrets changed; the old ones are good for 24 hours too"
        self.for_each(request, rows, rotate, done)


def _show_secret(request: HttpRequest, webhook: Webhook) -> None:
    if webhook.secret:
        text = f"The secret of {webhook.name}, shown only now: {webhook.secret}"
        messages.warning(request, text)


@admin.register(WebhookPayload)
class WebhookPayloadPage(ReadOnlyPage):
    """What webhooks brought; of a long body the beginning is shown."""

    list_display = ("webhook", "became", "content_type", "address", "created_at")
    became = labelled("state", _COLOURS, description="State")
    list_select_related = ("webhook",)
    list_filter = ("state",)
    search_fields = ("webhook__name",)
    fields = (
        "webhook",
        "delivery_id",
        "state",
        "problem",
        "execution_id",
        "content_type",
        "size",
        "is_base64",
        "headers",
        "address",
        "created_at",
        "beginning",
    )
    readonly_fields = ("beginning",)
    actions = ("start",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[WebhookPayload]:
        rows: QuerySet[WebhookPayload] = super().get_queryset(request)
        return rows.defer("body")

    @admin.display(description="Body")
    def beginning(self, payload: WebhookPayload) -> str:
        found = read_payload(WebhookPayload.objects.filter(pk=payload.pk), _SHOWN)
        return "" if found is None else found.text + ("…" if found.truncated else "")

    @admin.action(description="Start what did not start", permissions=["view"])
    def start(self, request: HttpRequest, rows: QuerySet[WebhookPayload]) -> None:
        self.for_each(request, rows, payloads.start_payload, "Executions started")
