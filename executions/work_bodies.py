"""Shapes of what is asked and answered about agents at work, queues and capacity."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from executions import documents
from executions.bodies import Request
from executions.fields import Flag, Text, Whole
from executions.models import PauseReason, Status
from executions.serializers import Nested, QueuePlaceSerializer

_EXAMPLE_ID = "01890a5d-ac96-774b-bcce-b302099a8057"
_AGENT = "01890a5d-0000-774b-bcce-b302099a8057"
_TASK = "01890a5d-1111-774b-bcce-b302099a8057"
_BOARD = "01890a5d-2222-774b-bcce-b302099a8057"
LONGEST_WORDS = 100_000


class _WorkSerializer(Request):
    """How work on a task is wanted."""

    prompt = Text(
        required=False,
        allow_blank=True,
        default="",
        max_length=LONGEST_WORDS,
        help_text="Said after what there is to know of the task.",
    )
    queue = Flag(required=False, default=True, help_text="False: refuse rather than queue.")
    priority = Whole(
        required=False,
        allow_null=True,
        default=None,
        min_value=1,
        max_value=5,
        help_text="1 is the highest; left out, the task's own.",
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample("the next task", value={}, request_only=True),
        OpenApiExample(
            "a task",
            value={"task": _TASK, "prompt": "Keep the old interface.", "priority": 2},
            request_only=True,
        ),
        OpenApiExample("now or never", value={"task": _TASK, "queue": False}, request_only=True),
    ]
)
class AgentStartSerializer(_WorkSerializer):
    """On which task; left out, on the first that is ready for the agent."""

    task = serializers.UUIDField(required=False, allow_null=True, default=None)


@extend_schema_serializer(
    examples=[
        OpenApiExample("its assignee", value={}, request_only=True),
        OpenApiExample("another", value={"agent": "mender"}, request_only=True),
    ]
)
class TaskStartSerializer(_WorkSerializer):
    """Who works on it; left out, who has it."""

    agent = Text(
        required=False,
        allow_null=True,
        default=None,
        max_length=200,
        help_text="An agent's id or slug.",
    )


@extend_schema_serializer(
    examples=[OpenApiExample("why", value={"reason": "Superseded."}, request_only=True)]
)
class StopSerializer(Request):
    """Why it is stopped."""

    reason = Text(required=False, allow_blank=True, default="", max_length=2000)


class WorkSerializer(Nested):
    """One execution that an agent has at work."""

    exec_id = serializers.UUIDField()
    exec_url = serializers.CharField()
    task = serializers.UUIDField(allow_null=True)
    status = serializers.ChoiceField(choices=Status.choices)
    pause_reason = serializers.ChoiceField(choices=PauseReason.choices, required=False)


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "paused",
            value={
                "agent": _AGENT,
                "is_paused": True,
                "count": 1,
                "executions": [
                    {
                        "exec_id": _EXAMPLE_ID,
                        "exec_url": f"{documents.EXECUTIONS}/{_EXAMPLE_ID}",
                        "task": _TASK,
                        "status": "running",
                    }
                ],
            },
            response_only=True,
        )
    ]
)
class AtWorkSerializer(Nested):
    """An agent, and what it has at work: `count` of them, of which the first 100 are shown."""

    agent = serializers.UUIDField()
    is_paused = serializers.BooleanField()
    count = serializers.IntegerField()
    executions = WorkSerializer(many=True)


class CapacityHolderSerializer(Nested):
    """An execution that has one of the places."""

    exec_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Status.choices)
    agent = serializers.UUIDField(allow_null=True)
    agent_name = serializers.CharField(allow_blank=True)
    board = serializers.UUIDField(allow_null=True)
    task = serializers.UUIDField(allow_null=True)
    admitted_at = serializers.DateTimeField()
    age_seconds = serializers.FloatField(help_text="Since it was admitted.")


_CAPACITY: dict[str, Any] = {
    "limit": 3,
    "held": 1,
    "free": 2,
    "queued": 0,
    "max_queue": 50,
    "is_paused": False,
    "holders": [
        {
            "exec_id": _EXAMPLE_ID,
            "status": "running",
            "agent": _AGENT,
            "agent_name": "Mender",
            "board": _BOARD,
            "task": _TASK,
            "admitted_at": "2026-01-05T09:00:00Z",
            "age_seconds": 18.2,
        }
    ],
}


@extend_schema_serializer(
    examples=[OpenApiExample("one at work", value=_CAPACITY, response_only=True)]
)
class CapacitySerializer(Nested):
    """How much runs at once, and what has the places: the 100 that have had theirs longest."""

    limit = serializers.IntegerField(allow_null=True, help_text="Null is no limit.")
    held = serializers.IntegerField()
    free = serializers.IntegerField(allow_null=True, help_text="Null where there is no limit.")
    queued = serializers.IntegerField()
    max_queue = serializers.IntegerField(allow_null=True, help_text="Null is no limit.")
    is_paused = serializers.BooleanField()
    holders = CapacityHolderSerializer(many=True)


class QueuedSerializer(QueuePlaceSerializer):
    """An execution in the queue of a board, and its place there."""

    exec_id = serializers.UUIDField()
    exec_url = serializers.CharField()
    agent = serializers.UUIDField(allow_null=True)
    agent_name = serializers.CharField(allow_blank=True)
    task = serializers.UUIDField(allow_null=True)
    task_title = serializers.CharField(allow_null=True)
    priority = serializers.IntegerField()
    queued_at = serializers.DateTimeField()
