"""The shape of a board at a glance."""

from __future__ import annotations

from rest_framework import serializers

from agents.models import Agent
from boards.models import Approval, Seat, TaskStatus
from boards.queries import Column, Snapshot
from boards.serializers.boards import BoardSerializer
from boards.serializers.tasks import CardTagSerializer, TaskSerializer


class SeatedAgentSerializer(serializers.ModelSerializer[Agent]):
    """An agent as a board shows it."""

    class Meta:
        model = Agent
        fields = ["id", "name", "slug", "kind", "is_paused", "last_seen_at"]


class SeatedSerializer(serializers.ModelSerializer[Seat]):
    """A seat with its agent."""

    agent = SeatedAgentSerializer()

    class Meta:
        model = Seat
        fields = ["id", "role", "agent"]


class PendingApprovalSerializer(serializers.ModelSerializer[Approval]):
    """An approval that waits for its decision."""

    class Meta:
        model = Approval
        fields = ["id", "kind", "action_type", "reason", "confidence", "tasks", "created_at"]


class ColumnSerializer(serializers.Serializer[Column]):
    """A column: its first cards in their order, and how many there are, counted to 1,000."""

    status = serializers.ChoiceField(choices=TaskStatus.choices)
    count = serializers.IntegerField()
    tasks = TaskSerializer(many=True)


class SnapshotSerializer(serializers.Serializer[Snapshot]):
    """A board with what is on it."""

    board = BoardSerializer()
    seats = SeatedSerializer(many=True)
    columns = ColumnSerializer(many=True)
    approvals = PendingApprovalSerializer(many=True)
    tags = CardTagSerializer(many=True)
