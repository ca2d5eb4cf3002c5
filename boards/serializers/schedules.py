"""Shapes of schedules of nudges, their runs, and a nudge by hand."""

from typing import Any

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agents.serializers import KnownFieldsOnly, KnownModelFieldsOnly
from boards import timing
from boards.actions.schedules import MOST_AGENTS
from boards.models import Board, NudgeCondition, NudgeSchedule, Occurrence
from boards.models.schedule import LONGEST_MESSAGE, LONGEST_MINUTES

_IDS = {"type": "array", "items": {"type": "string", "format": "uuid"}, "maxItems": MOST_AGENTS}


class TenantBoardField(serializers.PrimaryKeyRelatedField[Board]):
    """A board of the caller's organization, by id; another's does not exist."""

    def get_queryset(self) -> "QuerySet[Board]":
        caller = getattr(self.context.get("request"), "auth", None)
        return Board.objects.filter(organization=getattr(caller, "organization", None))


@extend_schema_field(_IDS)
class AgentIdsField(serializers.ListField):
    """The agents that are meant, where no board is."""

    child = serializers.UUIDField()

    def to_representation(self, agents: Any) -> list[str]:
        return sorted(str(agent.id) for agent in agents.all())


def _minutes(*, lowest: int = 1, **options: Any) -> serializers.IntegerField:
    return serializers.IntegerField(
        required=False, min_value=lowest, max_value=LONGEST_MINUTES, **options
    )


class ScheduleSerializer(KnownModelFieldsOnly):
    """Who is nudged when: a board's agents or some, by a crontab or an interval."""

    board = TenantBoardField(
        queryset=Board.objects.all(),
        required=False,
        allow_null=True,
        help_text="Its agents are meant; else name `agents`.",
    )
    agents = AgentIdsField(
        required=False, max_length=MOST_AGENTS, help_text="Who is meant; else name a `board`."
    )
    crontab = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        validators=[timing.check_crontab],
        help_text="Five fields, as `0 9 * * MON-FRI`, in `time_zone`; else give an interval.",
    )
    interval_minutes = _minutes(allow_null=True, help_text="Every so many; else give a crontab.")
    time_zone = serializers.CharField(
        required=False,
        max_length=64,
        validators=[timing.check_zone],
        help_text="An IANA name, as `Europe/Berlin`, of the crontab.",
    )
    message = serializers.CharField(
        trim_whitespace=False, max_length=LONGEST_MESSAGE, help_text="What the agents are told."
    )
    condition = serializers.ChoiceField(choices=NudgeCondition.choices)
    minutes = _minutes(
        allow_null=True,
        help_text="For how long the agent has been silent, or the approval pending; the other "
        "conditions have none.",
    )
    cool_down_minutes = _minutes(
        lowest=0, help_text="Who was nudged, by whomever, in so many minutes before is passed over."
    )

    class Meta:
        model = NudgeSchedule
        fields = [
            "id",
            "name",
            "is_enabled",
            "board",
            "agents",
            "crontab",
            "interval_minutes",
            "time_zone",
            "message",
            "condition",
            "minutes",
            "cool_down_minutes",
            "next_run_at",
            "last_run_at",
            "created_at",
            "updated_at",
        ]
        read_only_fields = ["next_run_at", "last_run_at", "created_at", "updated_at"]


class OccurrenceSerializer(serializers.ModelSerializer[Occurrence]):
    """One run of a schedule; until `finished_at` there may be more agents to nudge."""

    class Meta:
        model = Occurrence
        fields = ["id", "schedule", "due_at", "started_at", "finished_at", "nudged"]
        read_only_fields = fields


class NudgeByHandSerializer(KnownFieldsOnly):
    """What a silent agent is told."""

    message = serializers.CharField(trim_whitespace=False, max_length=10_000)


class NudgeSentSerializer(serializers.Serializer[Any]):
    """That it was sent, as the message of this id."""

    message_id = serializers.UUIDField()
