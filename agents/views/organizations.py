"""The operators' endpoints of organizations, members and keys."""

from dataclasses import replace
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agents import actions
from agents.actions import KeyTerms
from agents.actions.refusals import PeopleOnly
from agents.collections import Changing, Collection, Creating, Fields, created
from agents.models import (
    ActorKind,
    IntegrationKey,
    Membership,
    Organization,
    Role,
    User,
)
from agents.rest.authentication import Caller
from agents.rest.idempotency import IdempotentMixin
from agents.rest.permissions import RolePermission
from agents.serializers import (
    KeySerializer,
    MemberChangeSerializer,
    MemberSerializer,
    NewKeySerializer,
    OrganizationSerializer,
)
from agents.views.roles import CHANGES

ORGANIZATION_ID = OpenApiParameter("organization_id", OpenApiTypes.UUID, OpenApiParameter.PATH)


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
