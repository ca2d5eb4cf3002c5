"""Signals over REST: sent to an execution, listed, and messages that steer a run."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import Scope
from agents.rest.authentication import caller_of
from agents.rest.idempotency import IdempotentMixin
from agents.rest.pagination import NewestFirst
from agents.rest.permissions import TenantMixin
from executions import signals
from executions.filters import SignalFilter
from executions.models import Execution, Signal
from executions.signal_serializers import (
    MessageSerializer,
    SendSerializer,
    SentSerializer,
    SignalSerializer,
)
from executions.signals import Sent
from executions.views import EXEC_ID


class ByNumber(NewestFirst):
    """Pages of signals in the order in which they came."""

    ordering = "number"


class _OfExecution(TenantMixin, IdempotentMixin):
    """What is sent to one execution of the caller's organization."""

    tenant_path = "execution__organization"
    required_scope = {"POST": Scope.RUN}
    request: Any

    def execution(self) -> Execution:
        rows = Execution.objects.filter(organization=self.organization).only("id")
        return get_object_or_404(rows, pk=self.kwargs["exec_id"])  # type: ignore[attr-defined]

    def asked(self, shape: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        serializer = shape(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)

    def sent(self, **what: Any) -> Response:
        sent = signals.send(self.execution(), by=caller_of(self.request).actor, **what)
        return Response(_shown(sent), status=202)


@extend_schema(parameters=[EXEC_ID])
@extend_schema_view(
    list=extend_schema(
        operation_id="executions_signals_list", summary="List the signals of an execution, in order"
    )
)
class SignalViewSet(_OfExecution, mixins.ListModelMixin, viewsets.GenericViewSet[Signal]):
    """Signals are kept from the moment the execution exists until they are consumed."""

    queryset = Signal.objects.all()
    serializer_class = SignalSerializer
    filterset_class = SignalFilter
    pagination_class = ByNumber

    def get_queryset(self) -> QuerySet[Signal]:
        rows: QuerySet[Signal] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        return rows.filter(execution=self.execution())

    @extend_schema(
        operation_id="executions_signal",
        summary="Send a signal to an execution",
        description="Kept until the execution consumes it; one that waits for it goes on. The "
        "same `dedup_key` of the same sender is the same signal. Of an execution that has ended: "
        "409 `EXECUTION_STATE`.",
        request=SendSerializer,
        responses={202: SentSerializer},
    )
    def create(self, request: Request, exec_id: UUID) -> Response:
        return self.sent(**self.asked(SendSerializer))


@extend_schema(parameters=[EXEC_ID])
class MessageViewSet(_OfExecution, viewsets.GenericViewSet[Signal]):
    """Messages steer a run while it runs; each is the signal `message`."""

    queryset = Signal.objects.all()

    @extend_schema(
        operation_id="executions_message",
        summary="Say something to an execution",
        description="An agent that converses hears it before its next turn, or with `interrupt` "
        "at once: the model call under way is ended and made anew. One that is about to end takes "
        "another turn. Kinds that are code read the signal `message`.",
        request=MessageSerializer,
        responses={202: SentSerializer},
    )
    def create(self, request: Request, exec_id: UUID) -> Response:
        said = self.asked(MessageSerializer)
        sent = signals.send_message(
            self.execution(),
            said["text"],
            by=caller_of(request).actor,
            interrupts=said["when"] == "interrupt",
        )
        return Response(_shown(sent), status=202)


def _shown(sent: Sent) -> dict[str, Any]:
    return {
        "delivered": sent.is_new,
        "resumed": sent.is_resumed,
        "number": sent.signal.number,
    }
