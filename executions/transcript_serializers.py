"""Shapes of an execution's transcript: entries, events, checkpoints and tool calls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from agents.runtime.tools.text import WHOLE_BYTES
from agents.serializers import ActorField, KnownFieldsOnly
from executions import documents, wholes
from executions.models import (
    CallStatus,
    Checkpoint,
    Entry,
    EntryType,
    Event,
    ToolCall,
)
from executions.transcripts import CHARACTERS

# Of an entry's content: what the provider sent as it came, and what the engine noted for itself.
_INTERNAL = ("raw", CHARACTERS)


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
            shown["content"] = {k: v for k, v in shown["content"].items() if k not in _INTERNAL}
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
    """One tool call: the audit log. An outcome that a crash hid is `unknown`.

    One that `needs_approval` is `awaiting_approval` until a person has decided and its execution
    has gone on; what was approved is what ran, `edited_arguments` where the person gave others.
    """

    execution = serializers.UUIDField(source="execution_id")
    status = serializers.ChoiceField(choices=CallStatus.choices)
    arguments = serializers.JSONField()
    decision = serializers.SerializerMethodField(
        help_text="`approved`, `rejected`, or null while nobody has decided, or need."
    )
    decided_by = ActorField("decider", allow_null=True)
    edited_arguments = serializers.DictField(allow_null=True)
    duration_ms = serializers.SerializerMethodField()
    whole_bytes = serializers.IntegerField(
        allow_null=True, help_text="How much is kept of an output that `output` shows cut."
    )
    is_whole_cut = serializers.BooleanField(help_text="Whether that is not all of it either.")
    whole_url = serializers.SerializerMethodField(help_text="Where it is read, in pages.")

    class Meta:
        model = ToolCall
        fields = [
            "id",
            "execution",
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
            "whole_bytes",
            "is_whole_cut",
            "whole_url",
            "needs_approval",
            "decision",
            "decided_by",
            "decided_at",
            "decision_reason",
            "decided_digest",
            "edited_arguments",
            "duration_ms",
            "created_at",
            "started_at",
            "finished_at",
        ]

    def get_decision(self, call: ToolCall) -> str | None:
        return call.decision or None

    def get_whole_url(self, call: ToolCall) -> str | None:
        return documents.whole_output(call)

    def get_duration_ms(self, call: ToolCall) -> int | None:
        return documents.milliseconds(call.started_at, call.finished_at)


class OffsetSerializer(KnownFieldsOnly):
    """Where a page begins."""

    offset = serializers.IntegerField(
        required=False,
        default=0,
        min_value=0,
        max_value=WHOLE_BYTES,
        help_text="The byte to begin with: `next_offset` of the page before.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "the first page",
            value={
                "text": "collected 4012 items\n...",
                "offset": 0,
                "next_offset": 262144,
                "total_bytes": 1048576,
                "is_cut": False,
            },
            response_only=True,
        )
    ]
)
class WholeOutputSerializer(serializers.Serializer[wholes.Page]):
    """A page of an output. The pages from each `next_offset` to the next are together all of it."""

    text = serializers.CharField()
    offset = serializers.IntegerField(help_text="Of its first byte, in the output's UTF-8.")
    next_offset = serializers.IntegerField(
        allow_null=True, help_text="Where the next page begins; null where this is the last."
    )
    total_bytes = serializers.IntegerField()
    is_cut = serializers.BooleanField(
        help_text="Whether the output was longer than what is kept; a line in it says by how much."
    )
