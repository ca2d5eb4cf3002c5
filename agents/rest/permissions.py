"""What a caller may do: roles, scopes of keys, and rows of its own organization only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import QuerySet
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from agents.models import ActorKind, Organization, Role, Scope
from agents.rest.authentication import SAFE_METHODS, Caller, caller_of
from agents.rest.refusals import AgentsNotAllowed, NoOrganization, RoleTooLow, ScopeMissing

if TYPE_CHECKING:  # DRF's views import this module by its name in the settings.
    from rest_framework.views import APIView

_Needed = TypeVar("_Needed", Role, Scope)


def check_may(caller: Caller, role: Role, scope: Scope) -> None:
    """Nothing, if the caller has the role and, being a key with scopes, the scope.

    Raises AgentsNotAllowed, NoOrganization, RoleTooLow, ScopeMissing.
    """
    if caller.kind == ActorKind.AGENT:
        raise AgentsNotAllowed(agent_api="/api/v0/agent")
    if caller.role is None:
        raise NoOrganization
    if not caller.role.reaches(role):
        raise RoleTooLow(required=role.value, actual=caller.role.value)
    if caller.scopes and scope not in caller.scopes:
        raise ScopeMissing(required=scope.value)


class RolePermission(BasePermission):
    """The view's `required_role` and `required_scope`: one for all, or by action or method.

    What a view leaves out is viewer and `read` for safe methods; operator and, so that a
    forgotten declaration never widens a key, `admin` for the others. A view that says
    `organization_optional` lets people in who are members of none.
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        caller = request.auth
        if not isinstance(caller, Caller):
            return False
        outside = caller.kind == ActorKind.MEMBER and caller.organization is None
        if outside and getattr(view, "organization_optional", False):
            return True
        safe = request.method in SAFE_METHODS
        role = _needed(view, request, "required_role", Role.VIEWER if safe else Role.OPERATOR)
        scope = _needed(view, request, "required_scope", Scope.READ if safe else Scope.ADMIN)
        check_may(caller, role, scope)
        return True


def _needed(view: APIView, request: Request, name: str, default: _Needed) -> _Needed:
    declared: _Needed | Mapping[str, _Needed] | None = getattr(view, name, None)
    if declared is None:
        return default
    if not isinstance(declared, Mapping):
        return declared
    by_method = declared.get(str(request.method), default)
    return declared.get(getattr(view, "action", None) or "", by_method)


class TenantMixin:
    """Rows of the caller's organization; an id of another one is simply not there.

    `tenant_path` is the way from the row to its organization, as a filter names it.
    """

    tenant_path = "organization"
    request: Request

    @property
    def organization(self) -> Organization:
        """The caller's; asked for only behind RolePermission, which refuses who has none."""
        organization = caller_of(self.request).organization
        assert organization is not None
        return organization

    def get_queryset(self) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset()  # type: ignore[misc]  # GenericAPIView's.
        if getattr(self, "swagger_fake_view", False):
            return rows.none()
        return rows.filter(**{self.tenant_path: self.organization})
