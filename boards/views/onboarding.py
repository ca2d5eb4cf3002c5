"""The operators' endpoints of the interview that sets a board up."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from agents.collections import ByActor
from agents.rest.etag import check_unchanged, etag_of
from agents.rest.idempotency import IdempotentMixin
from agents.rest.permissions import TenantMixin
from boards import drafts
from boards.actions import drafting, founding, interviewing, onboarding, sessions
from boards.models import OnboardingSession
from boards.serializers.onboarding import (
    AnswerSerializer,
    OnboardingStandingSerializer,
    OnboardingStartSerializer,
)
from boards.views.below import BOARD_ID, BOARDS_CHANGES, OnBoard

_IF_MATCH = OpenApiParameter(
    "If-Match",
    OpenApiTypes.STR,
    OpenApiParameter.HEADER,
    description="The `ETag` of the session as it was read; another one since then is 412.",
)


class _OfBoard(OnBoard, TenantMixin, IdempotentMixin, ByActor, GenericAPIView[OnboardingSession]):  # type: ignore[misc]  # As in Collection.
    queryset = OnboardingSession.objects.select_related("agent__gateway", "board")
    serializer_class = OnboardingStandingSerializer
    filter_backends = ()
    pagination_class = None
    required_scope = BOARDS_CHANGES
    tenant_path = "board__organization"

    def shown(self, session: OnboardingSession, code: int = status.HTTP_200_OK) -> Response:
        return Response(self.get_serializer(session).data, code, headers={"ETag": etag_of(session)})

    def seen(self, session: OnboardingSession) -> None:
        """What the caller decides about is what it has seen. Raises `PreconditionFailed`."""
        check_unchanged(self.request, session)


class OnboardingView(_OfBoard):
    @extend_schema(
        operation_id="boards_onboarding_retrieve",
        summary="Read the newest interview of a board",
        description="`standing` says whom it waits for. Where that is a main agent that does not "
        "ask, `is_stuck` is true and `note` says why; `take-over` goes on without it.",
        parameters=[BOARD_ID],
    )
    def get(self, request: Request, **kwargs: Any) -> Response:
        session = self.get_queryset().first()
        if session is None:
            raise sessions.OnboardingNotFound
        return self.shown(session)

    @extend_schema(
        operation_id="boards_onboarding_create",
        summary="Start the interview of a board",
        description="A main agent asks its questions over the agent API, or the built-in "
        "interview asks fixed ones. One of a board is live at a time.",
        parameters=[BOARD_ID],
        request=OnboardingStartSerializer,
        responses={201: OnboardingStandingSerializer},
    )
    def post(self, request: Request, **kwargs: Any) -> Response:
        wanted = OnboardingStartSerializer(data=request.data, context=self.get_serializer_context())
        wanted.is_valid(raise_exception=True)
        session = onboarding.start_onboarding(self.board, by=self.actor, **wanted.validated_data)
        answer = self.shown(session, status.HTTP_201_CREATED)
        answer["Location"] = request.build_absolute_uri(request.path)
        return answer


class OnboardingAnswerView(_OfBoard):
    @extend_schema(
        operation_id="boards_onboarding_answer",
        summary="Answer a question, or change an answer",
        description="Of the key that is named, else the oldest that is open. Name it where two "
        "people may answer: the built-in interview goes on to its next question at once.",
        parameters=[BOARD_ID],
        request=AnswerSerializer,
        responses=OnboardingStandingSerializer,
    )
    def post(self, request: Request, **kwargs: Any) -> Response:
        answer = AnswerSerializer(data=request.data)
        answer.is_valid(raise_exception=True)
        return self.shown(
            interviewing.answer_question(self.board, by=self.actor, **answer.validated_data)
        )


class OnboardingDraftView(_OfBoard):
    problem_statuses = (412,)

    @extend_schema(
        operation_id="boards_onboarding_draft_update",
        summary="Change fields of the draft before it is confirmed",
        parameters=[BOARD_ID, _IF_MATCH],
        request={"application/json": drafts.CHANGES_SHAPE},
        responses=OnboardingStandingSerializer,
        examples=[
            OpenApiExample(
                "another lead",
                value={"lead_name": "Olga", "autonomy": "balanced"},
                request_only=True,
            )
        ],
    )
    def patch(self, request: Request, **kwargs: Any) -> Response:
        return self.shown(
            drafting.edit_draft(self.board, request.data, by=self.actor, check=self.seen)
        )


class OnboardingConfirmView(_OfBoard):
    problem_statuses = (412,)

    @extend_schema(
        operation_id="boards_onboarding_confirm",
        summary="Confirm the draft: goal, rules and lead are the board's",
        description="All of it or nothing, and once: a repeat answers the same. A board that has a "
        "lead keeps it. A draft without objective or success metrics is 422.",
        parameters=[BOARD_ID, _IF_MATCH],
        request=None,
        responses=OnboardingStandingSerializer,
    )
    def post(self, request: Request, **kwargs: Any) -> Response:
        return self.shown(founding.confirm_draft(self.board, by=self.actor, check=self.seen))


class OnboardingTakeOverView(_OfBoard):
    @extend_schema(
        operation_id="boards_onboarding_take_over",
        summary="Go on with the built-in interview in place of a main agent",
        description="The answers so far stay; those about a field of the draft answer the "
        "built-in question about it too.",
        parameters=[BOARD_ID],
        request=None,
        responses=OnboardingStandingSerializer,
    )
    def post(self, request: Request, **kwargs: Any) -> Response:
        return self.shown(onboarding.take_over(self.board, by=self.actor))


class OnboardingCancelView(_OfBoard):
    @extend_schema(
        operation_id="boards_onboarding_cancel",
        summary="Give the setting-up of a board up",
        description="The board stays as it is, and another interview can be started.",
        parameters=[BOARD_ID],
        request=None,
        responses=OnboardingStandingSerializer,
    )
    def post(self, request: Request, **kwargs: Any) -> Response:
        return self.shown(onboarding.cancel_onboarding(self.board, by=self.actor))
