"""Shapes of the explanation of an execution; `explanation` makes it."""

from __future__ import annotations

from drf_spectacular.utils import OpenApiExample, extend_schema_serializer
from rest_framework import serializers

from executions.explanation import Because
from executions.models import Status
from executions.serializers import Nested, QueuePlaceSerializer, WaitSerializer


class ReasonSerializer(Nested):
    """One thing that is so; `goes_on` says what would change it, empty where nothing need."""

    code = serializers.ChoiceField(choices=[(each.value, each.value) for each in Because])
    text = serializers.CharField()
    goes_on = serializers.CharField(allow_blank=True)


class HolderSerializer(Nested):
    """An execution that has a permit."""

    exec_id = serializers.UUIDField()
    agent_name = serializers.CharField(allow_blank=True)
    status = serializers.ChoiceField(choices=Status.choices)
    since = serializers.DateTimeField()


class LimitSerializer(Nested):
    """A limit of what runs at once; of the first that is full, `holders` has its longest ten."""

    scope = serializers.ChoiceField(choices=["organization", "board", "agent"])
    id = serializers.UUIDField()
    name = serializers.CharField()
    limit = serializers.IntegerField()
    held = serializers.IntegerField()
    is_full = serializers.BooleanField()
    holders = HolderSerializer(many=True)


class AskerSerializer(Nested):
    """Who paused or cancelled it."""

    kind = serializers.CharField()
    id = serializers.UUIDField(allow_null=True)
    name = serializers.CharField(allow_blank=True)


class LastFailureSerializer(Nested):
    """How it failed, or what was last lost of it."""

    code = serializers.CharField()
    message = serializers.CharField(allow_blank=True)
    at = serializers.DateTimeField()


class RecoveriesSerializer(Nested):
    """How often its worker was lost, and how often that may be."""

    count = serializers.IntegerField()
    limit = serializers.IntegerField()


class LastWorkerSerializer(Nested):
    """The worker that has it or had it last, and the lease where it has one."""

    name = serializers.CharField()
    is_alive = serializers.BooleanField()
    seen_at = serializers.DateTimeField(allow_null=True)
    lease_expires_at = serializers.DateTimeField(allow_null=True)
    lease_seconds_left = serializers.FloatField(
        allow_null=True, help_text="Below 0: it ended so long ago."
    )


@extend_schema_serializer(
    examples=[
        OpenApiExample(
            "blocked by its board",
            value={
                "exec_id": "01890a5d-ac96-774b-bcce-b302099a8057",
                "status": "queued",
                "summary": "Its board Repairs has 1 of 1 executions at work. It goes on when one "
                "of them leaves, or the limit is raised.",
                "reasons": [
                    {
                        "code": "board_full",
                        "text": "Its board Repairs has 1 of 1 executions at work.",
                        "goes_on": "It goes on when one of them leaves, or the limit is raised.",
                    }
                ],
                "since": "2026-01-05T09:00:00Z",
                "queue": {"position": 2, "estimated_wait_seconds": 40, "blocked_by": "board"},
                "limits": [
                    {
                        "scope": "board",
                        "id": "01890a5d-0001-774b-bcce-b302099a8057",
                        "name": "Repairs",
                        "limit": 1,
                        "held": 1,
                        "is_full": True,
                        "holders": [
                            {
                                "exec_id": "01890a5d-0002-774b-bcce-b302099a8057",
                                "agent_name": "Mender",
                                "status": "running",
                                "since": "2026-01-05T08:59:30Z",
                            }
                        ],
                    }
                ],
                "wait": None,
                "asked_by": None,
                "last_failure": None,
                "recoveries": {"count": 0, "limit": 5},
                "worker": None,
                "next_attempt_at": None,
                "finished_at": None,
            },
            response_only=True,
        )
    ]
)
class ExplanationSerializer(Nested):
    """Why an execution is not running; `summary` is the texts of its reasons in a row."""

    exec_id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=Status.choices)
    summary = serializers.CharField()
    reasons = ReasonSerializer(many=True)
    since = serializers.DateTimeField()
    queue = QueuePlaceSerializer(allow_null=True)
    limits = LimitSerializer(many=True)
    wait = WaitSerializer(allow_null=True)
    asked_by = AskerSerializer(allow_null=True)
    last_failure = LastFailureSerializer(allow_null=True)
    recoveries = RecoveriesSerializer()
    worker = LastWorkerSerializer(allow_null=True)
    next_attempt_at = serializers.DateTimeField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
