"""Memory, approvals and onboarding as agents use them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from django_filters import rest_framework as filters
from rest_framework.request import Request
from rest_framework.response import Response

from agents.filters import Filters, YesOrNo
from agents.rest.authentication import caller_of
from boards.actions import drafting, interviewing
from boards.actions.approvals import ask_approval
from boards.actions.memory import remember
from boards.agent_api.base import AgentViewSet
from boards.agent_api.operation import operation
from boards.models import Approval, ApprovalStatus, MemoryEntry, OnboardingSession
from boards.serializers.approvals import ApprovalRequestSerializer, ApprovalSerializer
from boards.serializers.memory import MemorySerializer
from boards.serializers.onboarding import InterviewSerializer, OnboardingSerializer
from boards.views.below import NewestOnBoard


class MemoryFilter(Filters):
    """All of it, or its chat, or all but its chat."""

    is_chat = YesOrNo()

    class Meta:
        model = MemoryEntry
        fields: list[str] = []


class MemoryViewSet(AgentViewSet[MemoryEntry]):
    queryset = MemoryEntry.objects.defer("words")
    serializer_class = MemorySerializer
    filterset_class: Any = MemoryFilter
    pagination_class = NewestOnBoard

    @operation(
        "agent_board_memory_discovery",
        "Read the board's memory",
        responses=MemorySerializer(many=True),
    )
    def list(self, request: Request, board_id: UUID) -> Response:
        rows = self.get_queryset().filter(board__alike=self.board.id)
        return self.paged(rows, MemorySerializer)

    @operation(
        "agent_board_memory_record",
        "Remember something",
        request=MemorySerializer,
        responses=MemorySerializer,
    )
    def create(self, request: Request, board_id: UUID) -> Response:
        entry = remember(self.board, by=self.actor, **self.asked(MemorySerializer))
        return Response(MemorySerializer(entry).data)


class ApprovalFilter(Filters):
    """Those of one status."""

    status = filters.ChoiceFilter(choices=ApprovalStatus.choices)

    class Meta:
        model = Approval
        fields: list[str] = []


class ApprovalViewSet(AgentViewSet[Approval]):
    queryset = Approval.objects.prefetch_related("links")
    serializer_class = ApprovalSerializer
    filterset_class: Any = ApprovalFilter
    pagination_class = NewestOnBoard

    @operation(
        "agent_board_approval_discovery",
        "List approvals",
        responses=ApprovalSerializer(many=True),
    )
    def list(self, request: Request, board_id: UUID) -> Response:
        return self.paged(
            self.get_queryset().filter(board__alike=self.board.id), ApprovalSerializer
        )

    @operation(
        "agent_board_approval_request",
        "Ask for an approval",
        request=ApprovalRequestSerializer,
        responses=ApprovalSerializer,
    )
    def create(self, request: Request, board_id: UUID) -> Response:
        asked = ApprovalRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        within = caller_of(request).within
        execution_id = within.execution_id if within else None
        wanted = replace(asked.request(), execution_id=execution_id)
        approval = ask_approval(self.board, wanted, by=self.actor)
        return Response(ApprovalSerializer(approval).data)


class OnboardingViewSet(AgentViewSet[OnboardingSession]):
    queryset = OnboardingSession.objects.all()
    serializer_class = OnboardingSerializer

    @operation(
        "agent_board_onboarding_update",
        "Ask a question of the onboarding, or hand its draft in",
        request=InterviewSerializer,
        responses=OnboardingSerializer,
    )
    def create(self, request: Request, board_id: UUID) -> Response:
        update = self.asked(InterviewSerializer)
        if "draft" in update:
            session = drafting.finish_draft(self.board, update["draft"], by=self.actor)
        else:
            session = interviewing.ask_question(self.board, by=self.actor, **update)
        return Response(OnboardingSerializer(session).data)
