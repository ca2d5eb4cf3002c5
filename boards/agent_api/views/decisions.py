"""Memory, approvals and onboarding as agents use them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework.request import Request
from rest_framework.response import Response

from agents.filters import Filters, YesOrNo
from boards.actions import onboarding
from boards.actions.approvals import ApprovalRequest, ask_approval
from boards.actions.memory import remember
from boards.agent_api.base import AgentViewSet
from boards.agent_api.operation import operation
from boards.agent_api.serializers import (
    AgentApprovalSerializer,
    AgentMemorySerializer,
    NewApprovalSerializer,
    NewMemorySerializer,
    OnboardingDraftSerializer,
    OnboardingSerializer,
    OnboardingUpdateSerializer,
)
from boards.models import Approval, ApprovalStatus, MemoryEntry, OnboardingSession


class MemoryFilter(Filters):
    """All of it, or its chat, or all but its chat."""

    is_chat = YesOrNo()

    class Meta:
        model = MemoryEntry
        fields: list[str] = []


class MemoryViewSet(AgentViewSet[MemoryEntry]):
    queryset = MemoryEntry.objects.defer("words")
    serializer_class = AgentMemorySerializer
    filterset_class: Any = MemoryFilter

    @operation(
        "agent_board_memory_discovery",
        "Read the board's memory",
        responses=AgentMemorySerializer(many=True),
    )
    def list(self, request: Request, board_id: UUID) -> Response:
        return self.paged(self.get_queryset().filter(board=self.board), AgentMemorySerializer)

    @operation(
        "agent_board_memory_record",
        "Remember something",
        request=NewMemorySerializer,
        responses={200: AgentMemorySerializer},
    )
    def create(self, request: Request, board_id: UUID) -> Response:
        entry = remember(self.board, by=self.actor, **self.asked(NewMemorySerializer))
        return Response(AgentMemorySerializer(entry).data)


class ApprovalFilter(Filters):
    """Those of one status."""

    status = filters.ChoiceFilter(choices=ApprovalStatus.choices)

    class Meta:
        model = Approval
        fields: list[str] = []


class ApprovalViewSet(AgentViewSet[Approval]):
    queryset = Approval.objects.prefetch_related("links")
    serializer_class = AgentApprovalSerializer
    filterset_class: Any = ApprovalFilter

    @operation(
        "agent_board_approval_discovery",
        "List approvals",
        responses=AgentApprovalSerializer(many=True),
    )
    def list(self, request: Request, board_id: UUID) -> Response:
        return self.paged(self.get_queryset().filter(board=self.board), AgentApprovalSerializer)

    @operation(
        "agent_board_approval_request",
        "Ask for an approval",
        request=NewApprovalSerializer,
        responses={200: AgentApprovalSerializer},
    )
    def create(self, request: Request, board_id: UUID) -> Response:
        asked = self.asked(NewApprovalSerializer)
        one, several = asked.pop("task_id", None), asked.pop("task_ids", [])
        task_ids = tuple(dict.fromkeys([*([one] if one else []), *several]))
        wish = ApprovalRequest(task_ids=task_ids, **asked)
        return Response(AgentApprovalSerializer(ask_approval(self.board, wish, by=self.actor)).data)


class OnboardingViewSet(AgentViewSet[OnboardingSession]):
    queryset = OnboardingSession.objects.all()
    serializer_class = OnboardingSerializer

    @operation(
        "agent_board_onboarding_update",
        "Ask a question of the onboarding, or hand its draft in",
        request=OnboardingUpdateSerializer,
        responses={200: OnboardingSerializer},
    )
    def create(self, request: Request, board_id: UUID) -> Response:
        update = self.asked(OnboardingUpdateSerializer)
        if "draft" in update:
            draft = OnboardingDraftSerializer(update["draft"]).data
            session = onboarding.hand_in(self.board, draft, by=self.actor)
        else:
            session = onboarding.ask(self.board, update, by=self.actor)
        return Response(OnboardingSerializer(session).data)
