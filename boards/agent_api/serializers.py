"""Shapes that agents send, and those that they see differently from operators."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from agents.actions.configuration import check_kind
from agents.models import Agent, Message, MessageKind
from agents.presence import Presence
from agents.serializers import ActorField, KnownFieldsOnly, PresenceField
from boards.actions import memory, questions
from boards.models import (
    Board,
    Seat,
    SeatRole,
    TaskStatus,
)
from boards.serializers.tasks import IdsField, TaskSerializer

_LONGEST = 100_000


def words(**options: Any) -> serializers.CharField:
    """Text that is kept as it is written; blank only where that is allowed."""
    checks = [] if options.get("allow_blank") else [_check_words]
    return serializers.CharField(
        trim_whitespace=False, max_length=_LONGEST, validators=checks, **options
    )


def _check_words(value: str) -> None:
    if not value.strip():
        raise serializers.ValidationError("This may not be blank.", code="blank")


class HealthSerializer(serializers.Serializer[Any]):
    """Who the caller is."""

    ok = serializers.BooleanField()
    agent_id = serializers.UUIDField()
    board_id = serializers.UUIDField(allow_null=True)
    gateway_id = serializers.UUIDField(allow_null=True)
    status = serializers.ChoiceField(choices=Presence.choices)
    is_board_lead = serializers.BooleanField()


class AgentBoardSerializer(serializers.ModelSerializer[Board]):
    """A board's goal and its rules."""

    class Meta:
        model = Board
        fields = [
            "id",
            "name",
            "slug",
            "description",
            "objective",
            "success_metrics",
            "target_date",
            "is_paused",
            "block_status_changes_with_pending_approval",
            "require_review_before_done",
            "require_approval_for_done",
            "comment_required_for_review",
            "only_lead_can_change_status",
            "max_agents",
            "created_at",
            "updated_at",
        ]


class RosterSerializer(serializers.ModelSerializer[Agent]):
    """An agent as others see it."""

    status = PresenceField()
    board_id = serializers.UUIDField(
        source="seat.board_id", default=None, read_only=True, allow_null=True
    )
    is_board_lead = serializers.SerializerMethodField()

    class Meta:
        model = Agent
        fields = [
            "id",
            "name",
            "slug",
            "description",
            "kind",
            "status",
            "board_id",
            "is_board_lead",
            "last_seen_at",
        ]

    def get_is_board_lead(self, agent: Agent) -> bool:
        seat: Seat | None = getattr(agent, "seat", None)
        return seat is not None and seat.role == SeatRole.LEAD


# What a card has for people, and an agent's schema has no room for.
_OF_OPERATORS = {
    "assigned_agent",
    "tag_ids",
    "position",
    "last_execution",
    "rejections",
    "model",
    "model_settings",
    "max_turns",
}


class AgentTaskSerializer(TaskSerializer):
    """A card on the board."""

    assigned_agent = None  # type: ignore[assignment]  # How DRF drops an inherited field.
    assigned_agent_id = serializers.UUIDField(allow_null=True, read_only=True)

    class Meta(TaskSerializer.Meta):
        fields = [name for name in TaskSerializer.Meta.fields if name not in _OF_OPERATORS] + [
            "assigned_agent_id"
        ]


class NewTaskSerializer(KnownFieldsOnly):
    """A task that a lead wants done."""

    title = serializers.CharField(max_length=500)
    description = words(required=False, allow_blank=True)
    status = serializers.ChoiceField(choices=TaskStatus.choices, required=False)
    priority = serializers.IntegerField(required=False, min_value=1, max_value=5)
    due_at = serializers.DateTimeField(required=False, allow_null=True)
    assigned_agent_id = serializers.UUIDField(required=False, allow_null=True)
    depends_on_task_ids = IdsField(required=False)
    tag_ids = IdsField(required=False)
    custom_field_values = serializers.DictField(
        child=serializers.JSONField(allow_null=True), required=False
    )


class TaskChangeSerializer(KnownFieldsOnly):
    """What changes of a task; which fields an agent may send depends on its role."""

    title = serializers.CharField(max_length=500, required=False)
    description = words(required=False, allow_blank=True)
    status = serializers.ChoiceField(choices=TaskStatus.choices, required=False)
    priority = serializers.IntegerField(required=False, min_value=1, max_value=5)
    due_at = serializers.DateTimeField(required=False, allow_null=True)
    assigned_agent_id = serializers.UUIDField(required=False, allow_null=True)
    depends_on_task_ids = IdsField(required=False)
    tag_ids = IdsField(required=False)
    custom_field_values = serializers.DictField(
        child=serializers.JSONField(allow_null=True), required=False
    )
    comment = words(required=False)


class NewCommentSerializer(KnownFieldsOnly):
    """Words on a task."""

    content = words()


class NewWorkerSerializer(KnownFieldsOnly):
    """A worker to create on the lead's own board."""

    name = serializers.CharField(max_length=200)
    description = words(required=False, allow_blank=True)
    soul = words(required=False, allow_blank=True)
    kind = serializers.CharField(
        required=False, max_length=80, validators=[check_kind], help_text="Left out: `react`."
    )
    model = serializers.CharField(required=False, allow_blank=True, max_length=200)
    tools = serializers.ListField(
        child=serializers.CharField(max_length=80),
        required=False,
        allow_null=True,
        max_length=200,
        help_text="Some of your own. Left out or null: those of the board that you have too.",
    )


class SoulChangeSerializer(KnownFieldsOnly):
    """A whole soul, and why it changes."""

    content = words()
    source_url = serializers.URLField(required=False, allow_blank=True, max_length=2000)
    reason = words(required=False, allow_blank=True)


class NudgeSerializer(KnownFieldsOnly):
    """What a silent agent is told."""

    message = words()


class QuestionSerializer(KnownFieldsOnly):
    """What people are asked; the answer gets these tags and this source in the board's memory."""

    content = words()
    correlation_id = serializers.RegexField(
        questions.CORRELATION_ID,
        required=False,
        allow_blank=True,
        max_length=questions.LONGEST_CORRELATION_ID,
        help_text="Names the answer; without one, the question's own id does.",
    )
    preferred_channel = serializers.CharField(required=False, allow_blank=True, max_length=100)
    reply_tags = serializers.ListField(
        child=serializers.CharField(max_length=memory.LONGEST_TAG),
        required=False,
        max_length=memory.MOST_TAGS,
    )
    reply_source = serializers.CharField(required=False, allow_blank=True, max_length=200)


class AskedSerializer(serializers.Serializer[Any]):
    """That people were asked."""

    ok = serializers.BooleanField()
    message_id = serializers.UUIDField()
    correlation_id = serializers.CharField()


class LeadWordSerializer(KnownFieldsOnly):
    """What a lead is told."""

    kind = serializers.ChoiceField(choices=("question", "handoff"))
    content = words()
    correlation_id = serializers.CharField(required=False, allow_blank=True, max_length=100)


class LeadToldSerializer(serializers.Serializer[Any]):
    """Which lead was told, and whether the board got it for this."""

    lead_agent_id = serializers.UUIDField()
    lead_agent_name = serializers.CharField()
    lead_created = serializers.BooleanField()


class BroadcastSerializer(KnownFieldsOnly):
    """What the leads of some boards, or of all, are told."""

    content = words()
    kind = serializers.ChoiceField(choices=("question", "handoff"), required=False)
    correlation_id = serializers.CharField(required=False, allow_blank=True, max_length=100)
    board_ids = IdsField(required=False)


class BroadcastResultSerializer(serializers.Serializer[Any]):
    """How one board's lead was told."""

    board_id = serializers.UUIDField()
    lead_agent_id = serializers.UUIDField(allow_null=True)
    ok = serializers.BooleanField()
    error = serializers.CharField(allow_blank=True)


class BroadcastToldSerializer(serializers.Serializer[Any]):
    """How many leads were told."""

    ok = serializers.BooleanField()
    sent = serializers.IntegerField()
    failed = serializers.IntegerField()
    results = BroadcastResultSerializer(many=True)


class InboxSerializer(serializers.ModelSerializer[Message]):
    """A message to the agent."""

    kind = serializers.ChoiceField(choices=MessageKind.choices)
    sender = ActorField("sender")
    board = serializers.UUIDField(source="board_id", allow_null=True)
    task = serializers.UUIDField(source="task_id", allow_null=True)

    class Meta:
        model = Message
        fields = [
            "id",
            "kind",
            "sender",
            "content",
            "board",
            "task",
            "correlation_id",
            "data",
            "created_at",
        ]


class PatienceSerializer(serializers.Serializer[Any]):
    """How long the caller waits for something to come."""

    wait_seconds = serializers.IntegerField(
        min_value=0, max_value=30, default=0, help_text="Wait so long for an empty inbox to fill."
    )


class PayloadSerializer(serializers.Serializer[Any]):
    """What a webhook brought; with `max_chars` the beginning of it, and `truncated` says so."""

    id = serializers.UUIDField(source="payload.id")
    webhook = serializers.UUIDField(source="payload.webhook_id")
    body = serializers.CharField(source="text")
    encoding = serializers.ChoiceField(
        choices=["utf-8", "base64"],
        source="payload.encoding",
        help_text="base64 of a body that is no text.",
    )
    content_type = serializers.CharField(source="payload.content_type")
    truncated = serializers.BooleanField()
    created_at = serializers.DateTimeField(source="payload.created_at")
