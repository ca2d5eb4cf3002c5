"""The operators' endpoints of organizations, members, keys, agents, souls and activity."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from django_filters import rest_framework as filters
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agents import actions
from agents.actions import KeyTerms
from agents.actions.refusals import PeopleOnly
from agents.collections import Changing, Collection, Creating, Fields, Versioned, created
from agents.filters import Filters, YesOrNo, containing
from agents.models import (
    Activity,
    ActorKind,
    Agent,
    IntegrationKey,
    Membership,
    Organization,
    Role,
    SoulVersion,
    User,
)
from agents.presence import Presence, with_presence
from agents.queries import find_agent
from agents.rest.authentication import Caller
from agents.rest.idempotency import IdempotentMixin
from agents.rest.pagination import NewestFirst
from agents.rest.permissions import RolePermission, TenantMixin
from agents.serializers import (
    ActivitySerializer,
    AgentSerializer,
    KeySerializer,
    MemberChangeSerializer,
    MemberSerializer,
    NewKeySerializer,
    NewTokenSerializer,
    OrganizationSerializer,
    SoulSerializer,
)

CHANGES = ("POST", "PUT", "PATCH", "DELETE")
ORGANIZATION_ID = OpenApiParameter("organization_id", OpenApiTypes.UUID, OpenApiParameter.PATH)
AGENT_ID = OpenApiParameter(
    "agent_id", OpenApiTypes.STR, OpenApiParameter.PATH, description="An agent's id or slug."
)


class RoleInPath(RolePermission):
    """The role that the caller has in the organization of the path, whichever it chose."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        caller: Any = request.auth
        wanted = view.kwargs.get("organization_id")
        if caller is not None and wanted is not None:
            request.auth = _in_organization(caller, wanted)
        return super().has_permission(request, view)


def _in_organization(caller: Caller, organization_id: str) -> Caller:
    try:
        wanted = UUID(organization_id)
    except ValueError as error:
        raise Http404 from error
    if caller.kind != ActorKind.MEMBER:
        if caller.organization is None or caller.organization.id != wanted:
            raise Http404
        return caller
    memberships = Membership.objects.select_related("organization")
    membership = memberships.filter(user_id=caller.id, organization_id=wanted).first()
    if membership is None:
        raise Http404
    return replace(caller, organization=membership.organization, role=Role(membership.role))


@extend_schema_view(
    list=extend_schema(summary="List the organizations of the caller"),
    create=extend_schema(summary="Found an organization, as its first owner"),
    retrieve=extend_schema(summary="Read an organization", parameters=[ORGANIZATION_ID]),
    partial_update=extend_schema(summary="Change an organization", parameters=[ORGANIZATION_ID]),
)
class OrganizationViewSet(
    IdempotentMixin,
    Creating,
    Changing,
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    viewsets.GenericViewSet[Organization],
):
    queryset = Organization.objects.all()
    serializer_class = OrganizationSerializer
    permission_classes = [RoleInPath]
    organization_optional = True
    required_role = {"create": Role.VIEWER, "partial_update": Role.OWNER}
    lookup_url_kwarg = "organization_id"

    def get_queryset(self) -> QuerySet[Organization]:
        caller: Any = self.request.auth
        if caller is None:
            return Organization.objects.none()
        if caller.kind == ActorKind.MEMBER:
            return Organization.objects.filter(memberships__user=caller.id)
        return Organization.objects.filter(pk=caller.organization.pk)

    def add(self, fields: Fields) -> Organization:
        owner = self.request.user
        if not isinstance(owner, User):
            raise PeopleOnly
        return actions.create_organization(fields, owner=owner, by=self.actor)

    def change(self, found: Organization, fields: Fields) -> Organization:
        return actions.update_organization(found, fields, by=self.actor)


@extend_schema_view(
    list=extend_schema(summary="List the members of an organization"),
    create=extend_schema(summary="Add a member"),
    retrieve=extend_schema(summary="Read a member"),
    partial_update=extend_schema(
        summary="Give a member another role",
        request=MemberChangeSerializer,
        responses=MemberSerializer,
    ),
    destroy=extend_schema(summary="Remove a member"),
)
@extend_schema(parameters=[ORGANIZATION_ID])
class MemberViewSet(Collection[Membership]):
    queryset = Membership.objects.select_related("user", "organization")
    serializer_class = MemberSerializer
    permission_classes = [RoleInPath]
    organization_optional = True
    required_role = dict.fromkeys(CHANGES, Role.OWNER)
    lookup_url_kwarg = "member_id"

    def add(self, fields: Fields) -> Membership:
        person, role = fields["user"], fields["role"]
        return actions.add_member(self.organization, person, role, by=self.actor)

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        change = MemberChangeSerializer(data=request.data)
        change.is_valid(raise_exception=True)
        role = change.validated_data["role"]
        member = actions.change_member(self.get_object(), role, by=self.actor)
        return Response(self.get_serializer(member).data)

    def perform_destroy(self, instance: Membership) -> None:
        actions.remove_member(instance, by=self.actor)


@extend_schema_view(
    list=extend_schema(summary="List the integration keys of an organization"),
    create=extend_schema(
        summary="Create an integration key; its secret is shown this once",
        responses={201: NewKeySerializer},
    ),
    retrieve=extend_schema(summary="Read an integration key"),
    destroy=extend_schema(summary="Revoke an integration key"),
)
@extend_schema(parameters=[ORGANIZATION_ID])
class KeyViewSet(Collection[IntegrationKey]):
    queryset = IntegrationKey.objects.select_related("organization")
    serializer_class = KeySerializer
    permission_classes = [RoleInPath]
    organization_optional = True
    required_role = Role.ADMIN
    lookup_url_kwarg = "key_id"
    secret_fields = ("key",)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        fields = serializer.validated_data
        terms = KeyTerms(**{**fields, "scopes": tuple(fields["scopes"])})
        key, secret = actions.create_key(self.organization, terms, by=self.actor)
        return created(request, {**self.get_serializer(key).data, "key": secret})

    def perform_destroy(self, instance: IntegrationKey) -> None:
        actions.revoke_key(instance, by=self.actor)


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
        newest = agent.soul_versions.first() or SoulVersion(agent=agent, number=0)
        return Response(SoulSerializer(newest).data)

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


class ActivityFilter(Filters):
    """Which lines: of one thing, or of one type."""

    agent = filters.UUIDFilter(field_name="agent_id")
    board = filters.UUIDFilter(field_name="board_id")
    task = filters.UUIDFilter(field_name="task_id")
    execution = filters.UUIDFilter(field_name="execution_id")
    type = filters.CharFilter(max_length=60)

    class Meta:
        model = Activity
        fields: list[str] = []


@extend_schema_view(list=extend_schema(summary="List the permanent record, newest first"))
class ActivityViewSet(  # type: ignore[misc]  # The mixin names DRF's request, the stub Django's.
    TenantMixin, mixins.ListModelMixin, viewsets.GenericViewSet[Activity]
):
    queryset = Activity.objects.all()
    serializer_class = ActivitySerializer
    filterset_class = ActivityFilter
