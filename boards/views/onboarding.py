"""The operators' endpoints of the interview that sets a board up."""

from typing import Any

from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from agents.collections import ByActor
from agents.rest.idempotency import IdempotentMixin
from agents.rest.permissions import TenantMixin
from boards.actions import onboarding
from boards.models import OnboardingSession
from boards.serializers.onboarding import AnswerSerializer, OnboardingSerializer
from boards.views.below import BOARD_ID, BOARDS_CHANGES, OnBoard


class _OfBoard(OnBoard, TenantMixin, IdempotentMixin, ByActor, GenericAPIView[OnboardingSession]):  # type: ignore[misc]  # As in Collection.
    queryset = OnboardingSession.objects.all()
    serializer_class = OnboardingSerializer
    filter_backends = ()
    pagination_class = None
    required_scope = BOARDS_CHANGES
    tenant_path = "board__organization"


class OnboardingView(_OfBoard):
    @extend_schema(
        operation_id="boards_onboarding_retrieve",
        summary="Read the newest interview of a board",
        parameters=[BOARD_ID],
    )
    def get(self, request: Request, **kwargs: Any) -> Response:
        session = self.get_queryset().first()
        if session is None:
            raise onboarding.OnboardingNotFound
        return Response(self.get_serializer(session).data)

    @extend_schema(
        operation_id="boards_onboarding_create",
        summary="Start the interview of a board",
        parameters=[BOARD_ID],
        request=None,
        responses={201: OnboardingSerializer},
    )
    def post(self, request: Request, **kwargs: Any) -> Response:
        session = onboarding.start_onboarding(self.board, by=self.actor)
        place = {"Location": request.build_absolute_uri(request.path)}
        return Response(self.get_serializer(session).data, status.HTTP_201_CREATED, headers=place)


class OnboardingAnswerView(_OfBoard):
    @extend_schema(
        operation_id="boards_onboarding_answer",
        summary="Answer the oldest open question",
        parameters=[BOARD_ID],
        request=AnswerSerializer,
        responses=OnboardingSerializer,
    )
    def post(self, request: Request, **kwargs: Any) -> Response:
        answer = AnswerSerializer(data=request.data)
        answer.is_valid(raise_exception=True)
        session = onboarding.answer_question(
            self.board, answer.validated_data["answer"], by=self.actor
        )
        return Response(self.get_serializer(session).data)
