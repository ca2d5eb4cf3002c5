"""Who the agent is, and what there is: health, boards, tags, webhook payloads."""

from __future__ import annotations

from uuid import UUID

from drf_spectacular.utils import OpenApiParameter
from rest_framework.request import Request
from rest_framework.response import Response

from agents.errors import Refusal
from agents.models import Agent
from agents.presence import presence_of
from boards.agent_api.base import DONE, AgentViewSet, OkSerializer
from boards.agent_api.hints import Role
from boards.agent_api.operation import operation
from boards.agent_api.serializers import (
    AgentBoardSerializer,
    HealthSerializer,
    PayloadSerializer,
)
from boards.errors import PayloadNotFound
from boards.models import Board, Tag, WebhookPayload
from boards.queries import LONGEST_PREVIEW, read_payload
from boards.serializers.tasks import CardTagSerializer


class MaxCharsInvalid(Refusal):
    """`max_chars` is a whole number in its range."""

    code = "MAX_CHARS_INVALID"
    status_code = 422


class SelfViewSet(AgentViewSet[Agent]):
    queryset = Agent.objects.all()
    needs_gateway = False

    @operation("agent_auth_health", "Who am I", responses=HealthSerializer)
    def health(self, request: Request) -> Response:
        agent, seat = self.me.agent, self.me.seat
        shown = {
            "ok": True,
            "agent_id": agent.id,
            "board_id": seat and seat.board_id,
            "gateway_id": agent.gateway_id,
            "status": presence_of(agent),
            "is_board_lead": self.me.role is Role.LEAD,
        }
        return Response(HealthSerializer(shown).data)

    @operation("agent_heartbeat", "I am alive", request=None, responses=OkSerializer)
    def heartbeat(self, request: Request) -> Response:
        # Authentication has noted the time, of the token's agent and no other.
        return Response(DONE)


class BoardViewSet(AgentViewSet[Board]):
    queryset = Board.objects.all()
    serializer_class = AgentBoardSerializer

    @operation("agent_board_discovery", "List my boards", responses=AgentBoardSerializer(many=True))
    def list(self, request: Request) -> Response:
        seat = self.me.seat
        mine = Board.objects.filter(organization=self.me.organization)
        return self.paged(mine.filter(pk=seat.board_id) if seat else mine, AgentBoardSerializer)

    @operation("agent_board_lookup", "Read a board", responses=AgentBoardSerializer)
    def retrieve(self, request: Request, board_id: UUID) -> Response:
        return Response(AgentBoardSerializer(self.board).data)

    @operation(
        "agent_board_webhook_payload_read",
        "Read what a webhook brought",
        responses=PayloadSerializer,
        parameters=[
            OpenApiParameter(
                "max_chars",
                {"type": "integer", "minimum": 1, "maximum": LONGEST_PREVIEW},
                description="No more than so many characters.",
            )
        ],
    )
    def payload(
        self, request: Request, board_id: UUID, webhook_id: UUID, payload_id: UUID
    ) -> Response:
        text = request.query_params.get("max_chars")
        longest = _whole(text) if text is not None else LONGEST_PREVIEW
        rows = WebhookPayload.objects.filter(webhook__board=self.board, webhook=webhook_id)
        found = read_payload(rows.filter(pk=payload_id), longest)
        if found is None:
            raise PayloadNotFound
        return Response(PayloadSerializer(found).data)


def _whole(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 9 else 0
    if not 1 <= number <= LONGEST_PREVIEW:
        raise MaxCharsInvalid(minimum=1, maximum=LONGEST_PREVIEW)
    return number


class TagViewSet(AgentViewSet[Tag]):
    """A plain list: tags are few."""

    queryset = Tag.objects.all()
    pagination_class = None

    @operation("agent_board_tag_discovery", "List the tags", responses=CardTagSerializer(many=True))
    def list(self, request: Request, board_id: UUID) -> Response:
        tags = Tag.objects.filter(organization=self.me.organization).order_by("name")
        return Response(CardTagSerializer(tags, many=True).data)
