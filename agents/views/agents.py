"""The operators' endpoints of agents and their souls."""

from typing import Any

from django.db.models import QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from agents import actions
from agents.collections import Fields, Versioned
from agents.filters import Filters, YesOrNo, containing
from agents.models import (
    Agent,
    Role,
    SoulVersion,
)
from agents.presence import Presence, with_presence
from agents.queries import find_agent
from agents.rest.pagination import NewestFirst
from agents.serializers import (
    AgentSerializer,
    NewTokenSerializer,
    SoulSerializer,
)
from agents.views.roles import CHANGES

AGENT_ID = OpenApiParameter(
    "agent_id", OpenApiTypes.STR, OpenApiParameter.PATH, description="An agent's id or slug."
)


class AgentFilter(Filters):
    """Which agents; `search` looks into name, slug and description."""

    is_paused = YesOrNo()
    status = filters.ChoiceFilter(field_name="presence", choices=Presence.choices)
    kind = filters.CharFilter()
    # The seat is a row of the floor above; only the database's name of it is used here.
    board = filters.UUIDFilter(field_name="seat__board_id")
    search = filters.CharFilter(method=lambda rows, name, text: containing(rows, text))

    class Meta:
        model = Agent
        fields: list[str] = []


class ByNumber(NewestFirst):
    """Pages of an agent's souls, the newest number first."""

    ordering = "-number"


@extend_schema_view(
    list=extend_schema(summary="List agents"),
    create=extend_schema(summary="Create an agent"),
    retrieve=extend_schema(summary="Read an agent", parameters=[AGENT_ID]),
    partial_update=extend_schema(summary="Configure an agent", parameters=[AGENT_ID]),
    destroy=extend_schema(summary="Delete an agent", parameters=[AGENT_ID]),
)
class AgentViewSet(Versioned[Agent]):
    queryset = Agent.objects.all()
    serializer_class = AgentSerializer
    filterset_class = AgentFilter
    required_role = dict.fromkeys(CHANGES, Role.ADMIN)
    lookup_url_kwarg = "agent_id"
    secret_fields = ("token",)
    query_parameters = {"soul_versions": ("cursor", "limit")}

    def get_queryset(self) -> QuerySet[Agent]:
        rows: QuerySet[Agent] = super().get_queryset()
        rows = with_presence(rows)
        # A soul may have a megabyte, and the list does not show it.
        return rows.defer("soul") if self.action == "list" else rows

    def find(self, rows: QuerySet[Agent], named: str) -> Agent:
        return find_agent(rows, named)

    def add(self, fields: Fields) -> Agent:
        return actions.create_agent(self.organization, fields, by=self.actor)

    def change(self, found: Agent, fields: Fields) -> Agent:
        return actions.configure_agent(found, fields, by=self.actor)

    def perform_destroy(self, instance: Agent) -> None:
        actions.delete_agent(instance, by=self.actor)

    @extend_schema(
        summary="Read the current soul of an agent",
        parameters=[AGENT_ID],
        responses=SoulSerializer,
    )
    @action(detail=True, url_path="soul")
    def soul(self, request: Request, **kwargs: Any) -> Response:
        agent = self.get_object()
        empty = SoulVersion(agent=agent, number=0, created_at=agent.created_at)
        return Response(SoulSerializer(agent.soul_versions.first() or empty).data)

    @extend_schema(
        summary="Write the next version of an agent's soul",
        parameters=[AGENT_ID],
        request=SoulSerializer,
        responses=SoulSerializer,
    )
    @soul.mapping.put
    def write_soul(self, request: Request, **kwargs: Any) -> Response:
        agent = self.get_object()
        serializer = SoulSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        version = actions.write_soul(agent, by=self.actor, **serializer.validated_data)
        return Response(SoulSerializer(version).data)

    @extend_schema(
        summary="List the versions of an agent's soul",
        parameters=[AGENT_ID],
        responses=SoulSerializer(many=True),
    )
    @action(
        detail=True,
        url_path="soul/versions",
        filterset_class=None,
        pagination_class=ByNumber,
    )
    def soul_versions(self, request: Request, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.get_object().soul_versions.all())
        return self.get_paginated_response(SoulSerializer(page, many=True).data)

    @extend_schema(
        summary="Revoke every token of an agent and make a new one, shown this once",
        parameters=[AGENT_ID],
        request=None,
        responses=NewTokenSerializer,
    )
    @action(detail=True, methods=["post"], url_path="rotate-token")
    def rotate_token(self, request: Request, **kwargs: Any) -> Response:
        token, secret = actions.rotate_token(self.get_object(), by=self.actor)
        return Response({**NewTokenSerializer(token).data, "token": secret})
