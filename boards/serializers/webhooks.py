"""Shapes of incoming webhooks and what they brought."""

from typing import Any

from rest_framework import serializers

from agents.models import Agent
from agents.serializers import KnownFieldsOnly, KnownModelFieldsOnly, TenantAgentField
from boards.actions import webhooks
from boards.hooks import words
from boards.models import Webhook, WebhookPayload


def _secret_field() -> serializers.CharField:
    return serializers.CharField(
        required=False,
        write_only=True,
        validators=[webhooks.check_secret],
        help_text="What the other side signs with; left out, one is made.",
    )


class HookStartSerializer(KnownFieldsOnly):
    """Which agent a payload starts, and with what prompt."""

    agent = TenantAgentField(source="start_agent", queryset=Agent.objects.all(), allow_null=True)
    prompt = serializers.CharField(
        source="start_prompt",
        max_length=words.LONGEST_TEMPLATE,
        validators=[words.check_template],
        help_text="`{{ payload }}` gives way to the body, `{{ payload.a.b }}` to a value of its "
        "JSON, `{{ header.x-github-event }}` to a header, `{{ webhook }}` and `{{ payload_id }}` "
        "to what they say. What came from outside is fenced as data.",
    )


class WebhookSerializer(KnownModelFieldsOnly):
    """An address at which the outside world reaches a board. Its secret is never shown."""

    url = serializers.SerializerMethodField(help_text="Where to deliver.")
    is_signed = serializers.BooleanField(read_only=True)
    agent = TenantAgentField(
        queryset=Agent.objects.all(),
        required=False,
        allow_null=True,
        help_text="Who is told; without one the board's lead.",
    )
    start = HookStartSerializer(
        required=False, allow_null=True, help_text="Instead of telling, start an execution."
    )
    signature_header = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        validators=[webhooks.check_header],
        help_text="Where the other side puts its signature, if not in one of the usual headers.",
    )
    delivery_header = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        validators=[webhooks.check_header],
        help_text="Where it names its deliveries, if not in one of the usual headers.",
    )

    class Meta:
        model = Webhook
        fields = [
            "id",
            "board",
            "name",
            "url",
            "is_enabled",
            "is_signed",
            "signature_header",
            "delivery_header",
            "agent",
            "start",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["board", "created_at", "updated_at"]

    def get_url(self, webhook: Webhook) -> str:
        return f"/api/v0/hooks/{webhook.id}"

    def to_internal_value(self, data: Any) -> Any:
        fields: dict[str, Any] = super().to_internal_value(data)
        if "start" in fields:
            start = fields.pop("start") or {"start_agent": None, "start_prompt": ""}
            fields |= start
        return fields

    def to_representation(self, instance: Webhook) -> dict[str, Any]:
        shown: dict[str, Any] = super().to_representation(instance)
        agent = instance.start_agent_id
        start = {"agent": agent and str(agent), "prompt": instance.start_prompt}
        return {**shown, "start": start if instance.starts else None}


class NewWebhookSerializer(WebhookSerializer):
    """A new webhook: whether what comes has to be signed, and with what."""

    is_signed = serializers.BooleanField(
        required=False, default=True, help_text="Without it anybody who knows the address delivers."
    )
    secret = _secret_field()

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]


class WebhookWithSecretSerializer(WebhookSerializer):
    """A webhook that was just given its secret, which is shown this once."""

    secret = serializers.CharField(read_only=True, required=False)

    class Meta(WebhookSerializer.Meta):
        fields = [*WebhookSerializer.Meta.fields, "secret"]


class RotationSerializer(KnownFieldsOnly):
    """Another secret."""

    secret = _secret_field()
    keep_old = serializers.BooleanField(
        required=False, default=True, help_text="Whether the old one is good for 24 hours too."
    )


class WebhookPayloadSerializer(serializers.ModelSerializer[WebhookPayload]):
    """One delivery without its body, and what became of it."""

    encoding = serializers.ChoiceField(choices=["utf-8", "base64"], read_only=True)
    execution = serializers.UUIDField(source="execution_id", read_only=True, allow_null=True)

    class Meta:
        model = WebhookPayload
        fields = [
            "id",
            "webhook",
            "delivery_id",
            "content_type",
            "encoding",
            "size",
            "headers",
            "address",
            "state",
            "execution",
            "problem",
            "attempts",
            "due_at",
            "created_at",
        ]
        read_only_fields = fields


class WholePayloadSerializer(WebhookPayloadSerializer):
    """The same with the body; base64 where it is no text."""

    class Meta(WebhookPayloadSerializer.Meta):
        fields = [*WebhookPayloadSerializer.Meta.fields, "body"]
        read_only_fields = fields
