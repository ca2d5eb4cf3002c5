"""The agents of a board: listed; and, by its lead, created, nudged and taught."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from agents.errors import GatewayUnreachable
from agents.models import Agent
from agents.presence import with_presence
from boards.actions import nudges, staff
from boards.agent_api.base import DONE, AgentViewSet, Delivering, OkSerializer, delivered
from boards.agent_api.guards import OtherBoard, SeatRequired
from boards.agent_api.hints import Role
from boards.agent_api.operation import operation
from boards.agent_api.serializers import (
    NewWorkerSerializer,
    NudgeSerializer,
    RosterSerializer,
    SoulChangeSerializer,
)
from boards.errors import BoardNotFound, LeadsOnly
from boards.models import Board


class RosterViewSet(AgentViewSet[Agent]):
    queryset = Agent.objects.all()
    serializer_class = RosterSerializer
    query_parameters = ("board_id",)

    @operation(
        "agent_roster_discovery",
        "List the agents",
        responses=RosterSerializer(many=True),
        parameters=[OpenApiParameter("board_id", OpenApiTypes.UUID)],
    )
    def list(self, request: Request) -> Response:
        rows = Agent.objects.select_related("seat").filter(organization=self.me.organization)
        board_id = self._board_id(request)
        if board_id is not None:
            rows = rows.filter(seat__board_id=board_id)
        return self.paged(with_presence(rows).defer("soul"), RosterSerializer)

    def _board_id(self, request: Request) -> UUID | None:
        """The board that is meant; a seated agent sees its own only."""
        text, seat = request.query_params.get("board_id"), self.me.seat
        wanted = _id(text) if text is not None else None
        if wanted is None:
            return seat.board_id if seat else None
        boards = Board.objects.filter(organization=self.me.organization)
        if not boards.filter(pk=wanted).exists():
            raise BoardNotFound
        if seat is not None and seat.board_id != wanted:
            raise OtherBoard
        return wanted

    @operation(
        "agent_lead_create_agent",
        "Create a worker",
        request=NewWorkerSerializer,
        responses=RosterSerializer,
    )
    def create(self, request: Request) -> Response:
        fields, seat = self.asked(NewWorkerSerializer), self.me.seat
        if seat is None:
            raise SeatRequired
        agent = staff.create_worker(seat.board, self.me.agent, fields, by=self.actor)
        return Response(RosterSerializer(agent).data)


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError as error:
        raise BoardNotFound from error


class NudgeViewSet(AgentViewSet[Agent]):
    queryset = Agent.objects.all()

    @operation(
        "agent_lead_nudge_agent", "Nudge an agent", request=NudgeSerializer, responses=OkSerializer
    )
    def create(self, request: Request, board_id: UUID, agent_id: UUID) -> Response:
        agent, message = self.colleague(agent_id), self.asked(NudgeSerializer)["message"]
        sent = nudges.nudge(agent, message, board_id=self.board.id, by=self.actor)
        return delivered(sent, DONE)

    def handle_exception(self, error: Exception) -> Response:
        answer = super().handle_exception(error)
        if isinstance(error, GatewayUnreachable):
            agent = self.colleague(self.kwargs["agent_id"])
            nudges.record_unreachable(agent, board_id=self.board.id, by=self.actor, code=error.code)
        return answer


class SoulViewSet(Delivering, AgentViewSet[Agent]):
    queryset = Agent.objects.all()

    @operation("agent_board_soul_lookup", "Read a soul", responses=OpenApiTypes.STR)
    def retrieve(self, request: Request, board_id: UUID, agent_id: UUID) -> Response:
        if self.me.role is not Role.LEAD and self.me.agent.id != agent_id:
            raise LeadsOnly
        agent = self.colleague(agent_id)
        staff.record_soul_read(self.board, agent, by=self.actor)
        return Response(agent.soul)

    @operation(
        "agent_lead_update_agent_soul",
        "Write a soul",
        request=SoulChangeSerializer,
        responses=OkSerializer,
    )
    def update(self, request: Request, board_id: UUID, agent_id: UUID) -> Response:
        agent, change = self.colleague(agent_id), self.asked(SoulChangeSerializer)
        staff.write_workers_soul(self.board, agent, by=self.actor, **change)
        return Response(DONE)
