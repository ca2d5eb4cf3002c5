"""Which kinds of agents there are, with their schemas."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agents.runtime import kinds
from agents.serializers import KindSerializer


class KindsView(APIView):
    """A plain list: kinds are few."""

    @extend_schema(
        operation_id="agent_kinds_list",
        summary="List the kinds of agents",
        description="In the order of registration; of one name, the last is what new executions "
        "are of.",
        responses=KindSerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        return Response(KindSerializer(kinds.registered(), many=True).data)
