"""The operators' endpoints of approvals."""

from typing import Any

from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents.collections import Fields, Versioned, created
from agents.filters import Filters
from agents.models import Scope
from boards import actions
from boards.actions.boards import locked_board
from boards.models import Approval, ApprovalKind, ApprovalStatus
from boards.serializers.approvals import (
    ApprovalRequestSerializer,
    ApprovalSerializer,
    DecisionSerializer,
)
from boards.views.below import BOARD_ID, BOARDS_CHANGES, OnBoard


class ApprovalFilter(Filters):
    """Which approvals of a board; `task` is one that they are about."""

    status = filters.ChoiceFilter(choices=ApprovalStatus.choices)
    kind = filters.ChoiceFilter(choices=ApprovalKind.choices)
    task = filters.UUIDFilter(field_name="links__task_id")

    class Meta:
        model = Approval
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List the approvals of a board"),
    create=extend_schema(
        summary="Ask for an approval",
        request=ApprovalRequestSerializer,
        responses={201: ApprovalSerializer},
    ),
    retrieve=extend_schema(summary="Read an approval"),
    partial_update=extend_schema(
        summary="Approve or reject",
        description="Of kind `merge` it is the same as `approve` and `reject` of its execution: "
        "202 with the approval, still pending, while the merge that it allows is under way.",
        request=DecisionSerializer,
        responses={200: ApprovalSerializer, 202: ApprovalSerializer},
    ),
)
@extend_schema(parameters=[BOARD_ID])
class ApprovalViewSet(OnBoard, Versioned[Approval]):  # type: ignore[misc]  # As in Collection.
    queryset = Approval.objects.prefetch_related("links")
    serializer_class = ApprovalSerializer
    filterset_class = ApprovalFilter
    http_method_names = ["get", "head", "options", "post", "patch"]
    required_scope = {**BOARDS_CHANGES, "PATCH": Scope.APPROVE}
    tenant_path = "board__organization"
    lookup_url_kwarg = "approval_id"

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = ApprovalRequestSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        approval = actions.ask_approval(self.board, asked.request(), by=self.actor)
        return created(request, self.get_serializer(approval).data)

    def lock(self, row: Approval) -> None:
        # In the order of locks: a decision may move the task of the approval.
        locked_board(self.board)
        super().lock(row)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        self.decision = DecisionSerializer(data=request.data)
        self.decision.is_valid(raise_exception=True)
        # Its fields are those of a decision; those of the approval itself are read-only.
        response: Response = super().partial_update(request, *args, **kwargs)
        if response.data["status"] == ApprovalStatus.PENDING:
            response.status_code = 202
        return response

    def change(self, found: Approval, fields: Fields) -> Approval:
        decision = self.decision.validated_data
        approve = decision["status"] == ApprovalStatus.APPROVED
        reason = decision.get("reason", "")
        return actions.decide_approval(found, approve=approve, reason=reason, by=self.actor)

    @extend_schema(summary="Withdraw an approval", request=None)
    @action(detail=True, methods=["post"])
    def withdraw(self, request: Request, **kwargs: Any) -> Response:
        approval = actions.withdraw_approval(self.get_object(), by=self.actor)
        return Response(self.get_serializer(approval).data)
