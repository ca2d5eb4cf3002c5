"""The operators' endpoints of messages: read, sent again, and questions answered."""

from __future__ import annotations

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiExample, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents import messages
from agents.collections import ByActor
from agents.filters import Filters
from agents.models import Audience, Message, MessageKind, MessageState
from agents.rest.idempotency import IdempotentMixin
from agents.rest.permissions import TenantMixin
from agents.serializers import KnownFieldsOnly, MessageSerializer
from boards.actions import questions
from boards.views.below import BOARDS_CHANGES


class AnswerTextSerializer(KnownFieldsOnly):
    """What people answer to a question."""

    content = serializers.CharField(trim_whitespace=False, max_length=100_000)


class MessageFilter(Filters):
    """Which messages; `agent` is the recipient."""

    state = filters.ChoiceFilter(choices=MessageState.choices)
    kind = filters.ChoiceFilter(choices=MessageKind.choices)
    audience = filters.ChoiceFilter(choices=Audience.choices)
    agent = filters.UUIDFilter(field_name="recipient_id")
    board = filters.UUIDFilter(field_name="board_id")

    class Meta:
        model = Message
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List messages, newest first"),
    retrieve=extend_schema(summary="Read a message"),
)
class MessageViewSet(  # type: ignore[misc]  # As in Collection.
    TenantMixin,
    IdempotentMixin,
    ByActor,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[Message],
):
    queryset = Message.objects.all()
    serializer_class = MessageSerializer
    filterset_class = MessageFilter
    required_scope = BOARDS_CHANGES
    lookup_url_kwarg = "message_id"

    @extend_schema(
        summary="Answer a question to people",
        description="Once: another answer is 409 `ALREADY_ANSWERED`, and of what is no question "
        "409 `NOT_A_QUESTION`. The board remembers it, the agent that asked is told, and the "
        "execution that asked hears it as the signal `answer:<correlation_id>`: one that waits for "
        "it goes on, one that has ended stays ended.",
        examples=[
            OpenApiExample("an answer", value={"content": "The barn owls."}, request_only=True)
        ],
        request=AnswerTextSerializer,
        responses=MessageSerializer,
    )
    @action(detail=True, methods=["post"])
    def answer(self, request: Request, **kwargs: Any) -> Response:
        body = AnswerTextSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        content = body.validated_data["content"]
        answered = questions.answer(self.get_object(), content, by=self.actor)
        return Response(MessageSerializer(answered).data)

    @extend_schema(summary="Send a failed message again", request=None)
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, **kwargs: Any) -> Response:
        return Response(MessageSerializer(messages.resend(self.get_object(), by=self.actor)).data)
