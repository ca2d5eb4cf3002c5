"""Shapes of tool calls that wait for a person, and of what the person says."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from agents.serializers import KnownFieldsOnly
from executions.fields import Text
from executions.signal_serializers import ValueField
from executions.transcript_serializers import ToolCallSerializer


@extend_schema_field({"type": "object"})
class ArgumentsField(ValueField):
    """The arguments of a call: an object."""

    def to_internal_value(self, data: Any) -> Any:
        if not isinstance(data, dict):
            raise serializers.ValidationError("It is an object.", code="invalid")
        return super().to_internal_value(data)


@extend_schema_serializer(
    examples=[
        OpenApiExample("as it is", value={}, request_only=True),
        OpenApiExample(
            "edited",
            value={"arguments": {"command": "git push --dry-run"}},
            request_only=True,
        ),
    ]
)
class ApproveCallSerializer(KnownFieldsOnly):
    """What runs, if it is not what the model asked for, and what the person saw."""

    arguments = ArgumentsField(required=False)
    digest = Text(
        required=False, max_length=64, help_text="The `arguments_digest` of the call as seen."
    )


@extend_schema_serializer(
    examples=[OpenApiExample("no", value={"reason": "Not on a Friday."}, request_only=True)]
)
class RejectCallSerializer(KnownFieldsOnly):
    """Why not; the model is told."""

    reason = Text(max_length=20_000, help_text="For the model.")


class AwaitingCallSerializer(ToolCallSerializer):
    """A call that waits for a person, with what it is part of."""

    agent = serializers.UUIDField(source="execution.agent_id", allow_null=True)
    agent_name = serializers.CharField(source="execution.agent_name")
    board = serializers.UUIDField(source="execution.board_id", allow_null=True)
    task = serializers.UUIDField(source="execution.task_id", allow_null=True)
    execution_status = serializers.CharField(source="execution.status")

    class Meta(ToolCallSerializer.Meta):
        fields = [
            *ToolCallSerializer.Meta.fields,
            "agent",
            "agent_name",
            "board",
            "task",
            "execution_status",
        ]
