"""The operators' endpoints of gateways."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents import actions
from agents.collections import Fields, Versioned, created
from agents.filters import Filters, YesOrNo
from agents.gateways import reach
from agents.models import Gateway, Role
from agents.rest.follow_up import FollowedUp
from agents.serializers import (
    GatewayCheckSerializer,
    GatewaySerializer,
    GatewayWithSecretSerializer,
)
from agents.views.roles import CHANGES


class GatewayFilter(Filters):
    """Which gateways."""

    is_enabled = YesOrNo()

    class Meta:
        model = Gateway
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List gateways"),
    create=extend_schema(summary="Create a gateway", responses={201: GatewayWithSecretSerializer}),
    retrieve=extend_schema(summary="Read a gateway"),
    partial_update=extend_schema(summary="Change a gateway, or switch it on or off"),
    destroy=extend_schema(summary="Delete a gateway that no agent uses"),
)
class GatewayViewSet(Versioned[Gateway]):
    queryset = Gateway.objects.all()
    serializer_class = GatewaySerializer
    filterset_class = GatewayFilter
    required_role = dict.fromkeys(CHANGES, Role.ADMIN)
    lookup_url_kwarg = "gateway_id"

    secret_fields = ("secret",)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        asked = self.get_serializer(data=request.data)
        asked.is_valid(raise_exception=True)
        made = actions.create_gateway(self.organization, asked.validated_data, by=self.actor)
        return created(request, self._with_secret(made))

    def change(self, found: Gateway, fields: Fields) -> Gateway:
        return actions.change_gateway(found, fields, by=self.actor)

    def perform_destroy(self, instance: Gateway) -> None:
        actions.delete_gateway(instance, by=self.actor)

    @extend_schema(
        summary="Change a gateway's secret",
        description="The old secret signs too for 24 hours.",
        request=None,
        responses=GatewayWithSecretSerializer,
    )
    @action(detail=True, methods=["post"], url_path="rotate-secret")
    def rotate_secret(self, request: Request, **kwargs: Any) -> Response:
        rotated = actions.rotate_gateway_secret(self.get_object(), by=self.actor)
        return Response(self._with_secret(rotated))

    @extend_schema(
        summary="See whether the other side of a gateway answers",
        description="Posts a signed `gateway.check`, which any 2xx answers; within 10 s.",
        request=None,
        responses=GatewayCheckSerializer,
    )
    @action(detail=True, methods=["post"])
    def check(self, request: Request, **kwargs: Any) -> Response:
        gateway = self.get_object()
        unknown = _checked("It is not known whether it answers.")
        return FollowedUp(unknown, follow_up=lambda: Response(_checked(reach.check(gateway))))

    def _with_secret(self, gateway: Gateway) -> dict[str, Any]:
        return {**self.get_serializer(gateway).data, "secret": gateway.secret or None}


def _checked(problem: str) -> dict[str, Any]:
    return GatewayCheckSerializer({"ok": not problem, "problem": problem}).data
