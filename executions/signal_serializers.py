"""Shapes of signals and messages, as they are sent and shown."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from agents.runtime.json_values import NotStorable, storable
from agents.serializers import KnownFieldsOnly
from executions import signals
from executions.fields import Text
from executions.models import Signal

# In UTF-8 it is no longer than a signal's value may be.
LONGEST_TEXT = 16_000


class ValueField(serializers.JSONField):
    """Any JSON value that can be kept."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return storable(data)
        except NotStorable as error:
            raise serializers.ValidationError(str(error), code="invalid") from error


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "an answer",
            value={"name": "answer", "value": {"budget": 300}, "dedup_key": "mail-4711"},
            request_only=True,
        )
    ]
)
class SendSerializer(KnownFieldsOnly):
    """A signal: `name`, any JSON `value`, and a key under which a repeat is the same signal."""

    name = Text(max_length=200, validators=[signals.check_name])
    value = ValueField(
        required=False, allow_null=True, default=None, validators=[signals.check_value]
    )
    dedup_key = Text(required=False, allow_blank=True, default="", max_length=255)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "steer",
            value={"text": "Leave the tests as they are.", "when": "next_turn"},
            request_only=True,
        )
    ]
)
class MessageSerializer(KnownFieldsOnly):
    """What a person says to a run, and whether the model call under way ends for it."""

    text = Text(max_length=LONGEST_TEXT)
    when = serializers.ChoiceField(
        choices=["next_turn", "interrupt"],
        default="next_turn",
        help_text="`interrupt` ends the model call that is under way.",
    )


class SentSerializer(serializers.Serializer[Any]):
    """What came of it."""

    delivered = serializers.BooleanField(
        help_text="False for a repeat of a `dedup_key`, which changed nothing."
    )
    resumed = serializers.BooleanField(help_text="Whether a waiting execution goes on with it.")
    number = serializers.IntegerField(help_text="Counts the signals of the execution.")


class SignalSerializer(serializers.ModelSerializer[Signal]):
    """A signal of an execution; `consumed_by` is the key of the effect that used it."""

    class Meta:
        model = Signal
        fields = [
            "number",
            "name",
            "value",
            "sender",
            "sender_name",
            "created_at",
            "consumed_at",
            "consumed_by",
        ]
        read_only_fields = fields
