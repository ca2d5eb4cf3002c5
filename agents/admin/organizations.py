"""The operators' view of organizations and people."""

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from agents.actions import (
    add_member,
    change_member,
    configuration,
    create_organization,
    remove_member,
    slugs,
    update_organization,
)
from agents.admin.pages import (
    BoundedPaginator,
    Page,
    RowActions,
    actor_of,
)
from agents.models import (
    Membership,
    Organization,
    User,
)

admin.site.unregister(Group)


@admin.register(Group)
class GroupPage(DjangoGroupAdmin, ModelAdmin):  # type: ignore[misc]  # unfold has no types.
    """What people may see and do in this admin."""


@admin.register(User)
class UserPage(DjangoUserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]  # unfold has no types.
    """People. They are deactivated, not deleted: an organization could lose its last owner."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    show_full_result_count = False
    paginator = BoundedPaginator

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class MemberRows(TabularInline):  # type: ignore[misc]  # unfold has no types.
    """The members of an organization."""

    model = Membership
    extra = 0
    fields = ("user", "role", "created_at")
    readonly_fields = ("created_at",)
    autocomplete_fields = ("user",)
    tab = True


@admin.register(Organization)
class OrganizationPage(Page):
    """Tenants; who founds one here becomes its first owner."""

    list_display = ("name", "slug", "max_concurrent", "created_at")
    search_fields = ("name", "slug")
    fields = ("name", "slug", "max_concurrent")
    inlines = (MemberRows,)
    checks = {"slug": slugs.check_slug, "max_concurrent": configuration.check_limit}
    change = staticmethod(update_organization)
    create = staticmethod(create_organization)
    row_actions = {
        Membership: RowActions(
            add=lambda row, by: add_member(row.organization, row.user, row.role, by=by),
            change=change_member,
            remove=remove_member,
        )
    }

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Organization:
        owner: Any = request.user  # The admin lets nobody in who is not signed in.
        return create_organization(fields, owner=owner, by=actor_of(request))


@admin.register(Membership)
class MembershipPage(Page):
    """Who belongs where."""

    list_display = ("user", "organization", "role", "created_at")
    list_select_related = ("user", "organization")
    list_filter = ("role",)
    search_fields = ("user__username", "user__email", "organization__name")
    fields = ("organization", "user", "role")
    autocomplete_fields = ("organization", "user")
    fixed_fields = ("organization", "user")
    create = staticmethod(add_member)
    change = staticmethod(change_member)
    remove = staticmethod(remove_member)

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Membership:
        by = actor_of(request)
        return add_member(fields["organization"], fields["user"], fields["role"], by=by)

    def write(self, request: HttpRequest, obj: Any, fields: dict[str, Any]) -> Membership:
        # `obj` has the new role already; without another one nothing is asked for.
        return change_member(obj, fields.get("role", obj.role), by=actor_of(request))
