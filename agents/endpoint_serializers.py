"""Shapes of endpoints, their deliveries and the tries of these."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.actions import subscriptions
from agents.models import Delivery, DeliveryAttempt, WebhookEndpoint
from agents.posting import check_url
from agents.serializers import KnownFieldsOnly, KnownModelFieldsOnly

SHOWN_TRIES = 50


@extend_schema_field(subscriptions.SHAPE)
class TypesField(serializers.JSONField):
    """Types of the permanent record, and patterns of them."""


class EndpointSerializer(KnownModelFieldsOnly):
    """An address that is told of lines of the permanent record."""

    url = serializers.CharField(max_length=2000, validators=[check_url])
    types = TypesField(
        validators=[subscriptions.check_types],
        help_text="Types of the permanent record; `*` stands for anything: `execution.*`.",
    )

    disabled_because = serializers.CharField(
        read_only=True,
        help_text="Why Signalbox switched it off, `failing` or `gone`; empty if it did not.",
    )

    class Meta:
        model = WebhookEndpoint
        fields = [
            "id",
            "name",
            "url",
            "types",
            "is_enabled",
            "disabled_because",
            "failures",
            "failing_since",
            "previous_secret_until",
            "created_at",
            "updated_at",
        ]
        read_only_fields = [
            "failures",
            "failing_since",
            "previous_secret_until",
            "created_at",
            "updated_at",
        ]


class EndpointWithSecretSerializer(EndpointSerializer):
    """An endpoint that was just given its secret, which is shown this once."""

    secret = serializers.CharField(
        read_only=True, required=False, help_text="Signs what is posted, by Standard Webhooks."
    )

    class Meta(EndpointSerializer.Meta):
        fields = [*EndpointSerializer.Meta.fields, "secret"]


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """One event for one endpoint, and how far it came."""

    event = serializers.UUIDField(
        source="event_id", help_text="The line of the record; a ping has an id of its own."
    )

    class Meta:
        model = Delivery
        fields = ["id", "event", "type", "state", "attempts", "created_at", "delivered_at"]
        read_only_fields = fields


class AttemptSerializer(serializers.ModelSerializer[DeliveryAttempt]):
    """One try: what was answered, or what was wrong; with neither it is under way."""

    class Meta:
        model = DeliveryAttempt
        fields = ["number", "status", "problem", "milliseconds", "started_at"]
        read_only_fields = fields
        extra_kwargs = {"status": {"help_text": "The status of HTTP; null without an answer."}}


class DeliveryWithTriesSerializer(DeliverySerializer):
    """The same with its newest tries, the last one first."""

    tries = serializers.SerializerMethodField()

    class Meta(DeliverySerializer.Meta):
        fields = [*DeliverySerializer.Meta.fields, "tries"]

    @extend_schema_field(AttemptSerializer(many=True))
    def get_tries(self, delivery: Delivery) -> Any:
        newest = delivery.tries.order_by("-number")[:SHOWN_TRIES]
        return AttemptSerializer(newest, many=True).data


class RedeliverFailedSerializer(KnownFieldsOnly):
    """Which of those that were given up."""

    since = serializers.DateTimeField(
        required=False, help_text="Those made since then; without it, all that are kept."
    )


class RedeliveredSerializer(serializers.Serializer[Any]):
    """How many are sent again."""

    redelivered = serializers.IntegerField()
