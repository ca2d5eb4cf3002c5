"""Shapes of an execution's transcript: entries, events, checkpoints and tool calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from executions import documents
from executions.models import CallStatus, Checkpoint, Entry, EntryType, Event, ToolCall


class EntrySerializer(serializers.ModelSerializer[Entry]):
    """One item of the conversation; what the provider sent is not shown as it came."""

    execution = serializers.UUIDField(
        source="execution_id", help_text="Whose it is: in the shared past of a fork, another's."
    )
    parent_id = serializers.UUIDField(allow_null=True)
    type = serializers.ChoiceField(choices=EntryType.choices)
    content = serializers.DictField()
    usage = serializers.DictField(allow_null=True)

    class Meta:
        model = Entry
        fields = [
            "id",
            "execution",
            "position",
            "parent_id",
            "turn",
            "type",
            "role",
            "content",
            "usage",
            "created_at",
        ]

    def to_representation(self, instance: Entry) -> dict[str, Any]:
        shown = super().to_representation(instance)
        if isinstance(shown["content"], Mapping):
            shown["content"] = {k: v for k, v in shown["content"].items() if k != "raw"}
        return shown


class EventSerializer(serializers.ModelSerializer[Event]):
    """One numbered fact of an execution; `seq` counts from 1 without a gap."""

    data = serializers.DictField()  # type: ignore[assignment]  # A field, where DRF has a property.

    class Meta:
        model = Event
        fields = ["seq", "type", "data", "created_at"]


class CheckpointSerializer(serializers.ModelSerializer[Checkpoint]):
    """A numbered snapshot: the position of its last entry, and the commit of its files."""

    class Meta:
        model = Checkpoint
        fields = ["sequence", "position", "turn", "tree", "created_at"]


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "a checkpoint",
            value={
                "sequence": 2,
                "position": 7,
                "turn": 2,
                "tree": "9f2c1d7e5b8a4c6d0e3f1a2b4c5d6e7f8a9b0c1d",
                "created_at": "2026-01-05T09:00:11Z",
                "state": {"files_seen": 12},
            },
            response_only=True,
        )
    ]
)
class CheckpointStateSerializer(CheckpointSerializer):
    """A checkpoint with the state that agent code kept in it."""

    state = serializers.JSONField()

    class Meta(CheckpointSerializer.Meta):
        fields = [*CheckpointSerializer.Meta.fields, "state"]


class ToolCallSerializer(serializers.ModelSerializer[ToolCall]):
    """One tool call: the audit log. An outcome that a crash hid is `unknown`."""

    status = serializers.ChoiceField(choices=CallStatus.choices)
    arguments = serializers.JSONField()
    duration_ms = serializers.SerializerMethodField()

    class Meta:
        model = ToolCall
        fields = [
            "id",
            "call_id",
            "reply_position",
            "position",
            "turn",
            "name",
            "arguments",
            "arguments_digest",
            "problem",
            "status",
            "runs",
            "output",
            "duration_ms",
            "created_at",
            "started_at",
            "finished_at",
        ]

    def get_duration_ms(self, call: ToolCall) -> int | None:
        return documents.milliseconds(call.started_at, call.finished_at)
