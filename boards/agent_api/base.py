"""What the views of the agent API share."""

from __future__ import annotations

from typing import Any, TypeVar
from uuid import UUID

from django.db.models import Model, QuerySet
from rest_framework import serializers, viewsets
from rest_framework.response import Response

from agents.activity import Actor
from agents.errors import AgentNotFound, GatewayFailed
from agents.messages import keep_failed
from agents.models import Agent, Message
from agents.outbox import deliver_or_raise
from agents.presence import with_presence
from agents.rest.authentication import caller_of
from agents.rest.follow_up import FollowedUp
from agents.rest.idempotency import IdempotentMixin
from boards.agent_api.guards import AgentPermission, Me
from boards.models import Board

Row = TypeVar("Row", bound=Model)
DONE = {"ok": True}


class OkSerializer(serializers.Serializer[Any]):
    """That it was done."""

    ok = serializers.BooleanField(default=True)


class AgentViewSet(IdempotentMixin, viewsets.GenericViewSet[Row]):
    """Operations of one agent, behind `AgentPermission`, which has set `me` and `board`."""

    permission_classes = [AgentPermission]
    is_for_agents = True
    # Every change, so that whoever lost the answer may ask again.
    once_methods = ("POST", "PATCH", "PUT", "DELETE")
    me: Me
    board: Board

    @property
    def actor(self) -> Actor:
        return caller_of(self.request).actor

    def asked(self, shape: type[serializers.BaseSerializer[Any]]) -> dict[str, Any]:
        """The valid body. Raises a ValidationError with every field's error."""
        serializer = shape(data=self.request.data, context=self.get_serializer_context())
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def paged(self, rows: QuerySet[Row], shape: type[serializers.BaseSerializer[Any]]) -> Response:
        """One page of the rows, filtered by the parameters of the request."""
        page = self.paginate_queryset(self.filter_queryset(rows))
        return self.get_paginated_response(shape(page, many=True).data)

    def colleague(self, agent_id: UUID) -> Agent:
        """The agent seated on the board, with its presence. Raises AgentNotFound."""
        agents = Agent.objects.select_related("gateway", "organization")
        found = with_presence(agents.filter(seat__board=self.board)).filter(pk=agent_id).first()
        if found is None:
            raise AgentNotFound
        return found


class Delivering:
    """For operations that deliver within the request: what did not arrive is kept."""

    def handle_exception(self, error: Exception) -> Response:
        if isinstance(error, GatewayFailed):
            # The request's transaction has been undone by now.
            keep_failed(error)
        response: Response = super().handle_exception(error)  # type: ignore[misc]  # APIView's.
        return response


def delivered(message: Message, answer: Any) -> Response:
    """The answer, once the message is delivered, after the request's commit; else a 502."""

    def follow_up() -> Response:
        deliver_or_raise(message)
        return Response(answer)

    return FollowedUp(answer, follow_up=follow_up)
