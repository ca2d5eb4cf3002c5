"""Tool calls that need a person, over REST: what waits for a decision, and the decision."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.models import ActorKind, Scope
from agents.rest.authentication import Caller, caller_of
from agents.rest.idempotency import IdempotentMixin
from agents.rest.permissions import TenantMixin
from boards.actions.approvals import AgentDecides
from executions import tool_decisions
from executions.filters import AwaitingCallFilter
from executions.models import CallStatus, ToolCall
from executions.tool_decision_serializers import (
    ApproveCallSerializer,
    AwaitingCallSerializer,
    RejectCallSerializer,
)
from executions.transcript_serializers import ToolCallSerializer
from executions.views import CALL_ID, EXEC_ID

_OF_EXECUTION = ("agent_id", "agent_name", "board_id", "task_id", "status")


@extend_schema_view(
    list=extend_schema(
        operation_id="executions_tool_calls_awaiting",
        summary="List the tool calls that wait for a person, newest first",
        description="Of all executions of the organization; each says what wants to run, for "
        "which agent, board and task. Decide with `/executions/agents/{exec_id}/tool-calls/"
        "{call_id}/approve` or `/reject`.",
    )
)
class AwaitingCallViewSet(  # type: ignore[misc]  # Mixins name DRF's request, the view's stub Django's.
    TenantMixin, mixins.ListModelMixin, viewsets.GenericViewSet[ToolCall]
):
    """Undecided calls of an organization."""

    tenant_path = "execution__organization"
    queryset = (
        ToolCall.objects.filter(status=CallStatus.AWAITING_APPROVAL, decision="")
        .select_related("execution")
        .only(
            *(field.attname for field in ToolCall._meta.concrete_fields),
            *(f"execution__{name}" for name in _OF_EXECUTION),
        )
    )
    serializer_class = AwaitingCallSerializer
    filterset_class = AwaitingCallFilter


@extend_schema(parameters=[EXEC_ID, CALL_ID])
class ToolDecisionViewSet(  # type: ignore[misc]  # As above.
    TenantMixin, IdempotentMixin, viewsets.GenericViewSet[ToolCall]
):
    """A person's decision on one call of an execution.

    Of a call that is decided: 409 `ALREADY_DECIDED` with who and when; of one that its execution
    waits for no longer, 409 `EXECUTION_STATE`.
    """

    tenant_path = "execution__organization"
    queryset = ToolCall.objects.all()
    serializer_class = ToolCallSerializer
    required_scope = {"POST": Scope.APPROVE}
    lookup_url_kwarg = "call_id"

    def get_queryset(self) -> QuerySet[ToolCall]:
        rows: QuerySet[ToolCall] = super().get_queryset()
        if getattr(self, "swagger_fake_view", False):
            return rows
        return rows.filter(execution=self.kwargs["exec_id"])

    def check_permissions(self, request: Request) -> None:
        # Said plainly, since an agent may well try: not for its own call, nor for another's.
        if isinstance(request.auth, Caller) and request.auth.kind == ActorKind.AGENT:
            raise AgentDecides
        super().check_permissions(request)

    @extend_schema(
        operation_id="executions_tool_call_approve",
        summary="Approve a tool call",
        description="It runs once, with exactly these arguments: those that the model gave, or "
        "`arguments`, which must fit the tool and take their place; the ledger keeps both, and "
        "the model is told. They may not hold the value of a variable of the board: a command has "
        "the variables, and names them. With `digest`, the `arguments_digest` that was seen, a "
        "call with other arguments is refused: 409 `ARGUMENTS_CHANGED`.",
        request=ApproveCallSerializer,
        responses=ToolCallSerializer,
    )
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, exec_id: UUID, call_id: UUID) -> Response:
        asked = self._asked(ApproveCallSerializer)
        call = tool_decisions.approve(
            self.get_object(),
            by=caller_of(request).actor,
            arguments=asked.get("arguments"),
            seen=asked.get("digest", ""),
        )
        return Response(self.get_serializer(call).data)

    @extend_schema(
        operation_id="executions_tool_call_reject",
        summary="Reject a tool call",
        description="It does not run; the model is told the reason, and goes on. The value of a "
        "variable of the board is replaced by `[redacted:NAME]` in it.",
        request=RejectCallSerializer,
        responses=ToolCallSerializer,
    )
    @action(detail=True, methods=["post"])
    def reject(self, request: Request, exec_id: UUID, call_id: UUID) -> Response:
        reason = self._asked(RejectCallSerializer)["reason"]
        call = tool_decisions.reject(self.get_object(), by=caller_of(request).actor, reason=reason)
        return Response(self.get_serializer(call).data)

    def _asked(self, shape: type[serializers.Serializer[Any]]) -> dict[str, Any]:
        serializer = shape(data=self.request.data)
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)
