"""The one operation of the agent API that touches executions: a lead removes a worker."""

from __future__ import annotations

from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from agents.errors import Refusal
from agents.models import Agent
from boards.agent_api.base import DONE, AgentViewSet, OkSerializer
from boards.agent_api.operation import operation
from boards.models import Seat, SeatRole
from executions.removal import remove_worker


class LeadStays(Refusal):
    """A lead removes workers, and no lead."""

    code = "LEAD_STAYS"
    status_code = 403


class RemovalViewSet(AgentViewSet[Agent]):
    queryset = Agent.objects.all()

    @operation("agent_lead_delete_board_agent", "Remove a worker", responses=OkSerializer)
    def destroy(self, request: Request, board_id: UUID, agent_id: UUID) -> Response:
        agent = self.colleague(agent_id)
        if Seat.objects.filter(agent=agent, role=SeatRole.LEAD).exists():
            raise LeadStays
        remove_worker(self.board, agent, by=self.actor)
        return Response(DONE)
