"""The operators' endpoints of nudges: schedules, their runs, and a nudge by hand."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from agents.collections import ByActor, Fields, Versioned
from agents.errors import GatewayUnreachable
from agents.filters import Filters, YesOrNo
from agents.models import Agent, Role, Scope
from agents.outbox import deliver_or_raise
from agents.queries import find_agent
from agents.rest.follow_up import FollowedUp
from agents.rest.idempotency import IdempotentMixin
from agents.rest.pagination import NewestFirst
from agents.rest.permissions import TenantMixin
from agents.views.agents import AGENT_ID
from agents.views.roles import CHANGES
from boards.actions import nudges, occurrences, schedules
from boards.models import NudgeSchedule, Occurrence
from boards.serializers.schedules import (
    NudgeByHandSerializer,
    NudgeSentSerializer,
    OccurrenceSerializer,
    ScheduleSerializer,
)
from boards.views.below import BOARDS_CHANGES


class ScheduleFilter(Filters):
    """Which schedules; `board` are those that name it."""

    is_enabled = YesOrNo()
    board = filters.UUIDFilter(field_name="board_id")

    class Meta:
        model = NudgeSchedule
        fields: list[str] = []


class NewestOfSchedule(NewestFirst):
    """Pages of the runs of one schedule, newest first."""

    within = "schedule_id"


@extend_schema_view(
    list=extend_schema(summary="List the schedules of nudges"),
    create=extend_schema(
        summary="Create a schedule of nudges",
        description="It names a board or agents, and a crontab or an interval. Where the clock "
        "changes, a crontab of a fixed time runs once a day all the same: in spring when the clock "
        "has gone on, in autumn the first time. A run that is missed is not made up.",
        examples=[
            OpenApiExample(
                "each working day at nine",
                value={
                    "name": "Good morning",
                    "agents": ["01890a5d-ac96-774b-bcce-b302099a8057"],
                    "crontab": "0 9 * * MON-FRI",
                    "time_zone": "Europe/Berlin",
                    "condition": "idle_with_inbox",
                    "message": "There is work for you.",
                },
                request_only=True,
            )
        ],
    ),
    retrieve=extend_schema(summary="Read a schedule of nudges"),
    partial_update=extend_schema(summary="Change a schedule of nudges, or switch it on or off"),
    destroy=extend_schema(summary="Delete a schedule of nudges"),
)
class ScheduleViewSet(Versioned[NudgeSchedule]):
    queryset = NudgeSchedule.objects.prefetch_related(
        Prefetch("agents", queryset=Agent.objects.only("id"))
    )
    serializer_class = ScheduleSerializer
    filterset_class = ScheduleFilter
    required_role = {**dict.fromkeys(CHANGES, Role.ADMIN), "run": Role.OPERATOR}
    required_scope = BOARDS_CHANGES
    lookup_url_kwarg = "schedule_id"
    query_parameters = {"occurrences": ("cursor", "limit")}

    def add(self, fields: Fields) -> NudgeSchedule:
        return schedules.create_schedule(self.organization, fields, by=self.actor)

    def change(self, found: NudgeSchedule, fields: Fields) -> NudgeSchedule:
        return schedules.change_schedule(found, fields, by=self.actor)

    def perform_destroy(self, instance: NudgeSchedule) -> None:
        schedules.delete_schedule(instance, by=self.actor)

    @extend_schema(
        summary="Run a schedule now",
        description="Switched off or not; when it is due next stays as it is. Of many agents the "
        "first are nudged at once, the others within seconds.",
        request=None,
        responses={201: OccurrenceSerializer},
    )
    @action(detail=True, methods=["post"])
    def run(self, request: Request, **kwargs: Any) -> Response:
        occurrence = occurrences.run_now(self.get_object(), by=self.actor)
        return Response(OccurrenceSerializer(occurrence).data, status.HTTP_201_CREATED)

    @extend_schema(
        summary="List the runs of a schedule in the last 30 days, newest first",
        responses=OccurrenceSerializer(many=True),
    )
    @action(detail=True, filterset_class=None, pagination_class=NewestOfSchedule)
    def occurrences(self, request: Request, **kwargs: Any) -> Response:
        rows: QuerySet[Any] = Occurrence.objects.filter(schedule__alike=self.get_object().pk)
        page = self.paginate_queryset(rows)
        return self.get_paginated_response(OccurrenceSerializer(page, many=True).data)


class NudgeView(TenantMixin, IdempotentMixin, ByActor, GenericAPIView[Agent]):  # type: ignore[misc]  # As in Collection.
    queryset = Agent.objects.select_related("gateway", "organization", "seat")
    filter_backends = ()
    pagination_class = None
    required_scope = {"POST": Scope.RUN}
    problem_statuses = (502,)

    @extend_schema(
        operation_id="agents_nudge",
        summary="Nudge an agent",
        description="It finds the message in its inbox, or is posted it through its gateway: 502 "
        "`GATEWAY_FAILED` where that does not take it, and the message can be sent again. What "
        "Signalbox runs for it hears the message before its next turn.",
        parameters=[AGENT_ID],
        request=NudgeByHandSerializer,
        responses=NudgeSentSerializer,
    )
    def post(self, request: Request, agent_id: str) -> Response:
        agent = self._agent(agent_id)
        asked = NudgeByHandSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        content = asked.validated_data["message"]
        sent = nudges.nudge(agent, content, board_id=_board_of(agent), by=self.actor)
        told = NudgeSentSerializer({"message_id": sent.pk}).data

        def follow_up() -> Response:
            deliver_or_raise(sent)
            return Response(told)

        return FollowedUp(told, follow_up=follow_up)

    def handle_exception(self, error: Exception) -> Response:
        answer = super().handle_exception(error)
        if isinstance(error, GatewayUnreachable):
            agent = self._agent(self.kwargs["agent_id"])
            board_id = _board_of(agent)
            nudges.record_unreachable(agent, board_id=board_id, by=self.actor, code=error.code)
        return answer

    def _agent(self, named: str) -> Agent:
        rows: QuerySet[Agent] = self.get_queryset()
        return find_agent(rows, named)


def _board_of(agent: Agent) -> Any:
    seat = getattr(agent, "seat", None)  # Django raises where a row has none.
    return seat and seat.board_id
