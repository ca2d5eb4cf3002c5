"""The operators' endpoints of gateways."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema, extend_schema_view

from agents import actions
from agents.collections import Fields, Versioned
from agents.filters import Filters, YesOrNo
from agents.models import Gateway, Role
from agents.serializers import GatewaySerializer
from agents.views.roles import CHANGES


class GatewayFilter(Filters):
    """Which gateways."""

    is_enabled = YesOrNo()

    class Meta:
        model = Gateway
        fields: list[str] = []


@extend_schema_view(
    list=extend_schema(summary="List gateways"),
    create=extend_schema(summary="Create a gateway"),
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

    def add(self, fields: Fields) -> Gateway:
        return actions.create_gateway(self.organization, fields, by=self.actor)

    def change(self, found: Gateway, fields: Fields) -> Gateway:
        return actions.change_gateway(found, fields, by=self.actor)

    def perform_destroy(self, instance: Gateway) -> None:
        actions.delete_gateway(instance, by=self.actor)
