"""Shapes of tasks."""

from rest_framework import serializers

from agents.models import Agent
from agents.serializers import (
    KnownModelFieldsOnly,
    TenantAgentField,
)
from boards.models import Task


class TaskSerializer(KnownModelFieldsOnly):
    """A card on a board."""

    priority = serializers.IntegerField(required=False, min_value=1, max_value=5)
    assigned_agent = TenantAgentField(queryset=Agent.objects.all(), required=False, allow_null=True)

    class Meta:
        model = Task
        fields = [
            "id",
            "board",
            "title",
            "description",
            "status",
            "priority",
            "assigned_agent",
            "due_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["board", "created_at", "updated_at"]
