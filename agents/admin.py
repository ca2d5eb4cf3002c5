"""The operators' view of organizations, people, credentials, agents and the permanent record."""

from types import MappingProxyType
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import GroupAdmin as DjangoGroupAdmin
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.contrib.auth.models import Group
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.admin import ModelAdmin, TabularInline
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from agents import admin_of_endpoints  # noqa: F401  Its pages are registered.
from agents.actions import (
    KeyTerms,
    add_member,
    change_gateway,
    change_member,
    configuration,
    configure_agent,
    create_agent,
    create_gateway,
    create_key,
    create_organization,
    create_token,
    delete_agent,
    delete_gateway,
    pause_agent,
    remove_member,
    revoke_key,
    revoke_token,
    rotate_gateway_secret,
    rotate_token,
    slugs,
    unpause_agent,
    update_organization,
)
from agents.activity import Actor
from agents.admin_pages import (
    BoundedPaginator,
    Page,
    ReadOnlyPage,
    ReadOnlyRows,
    RowActions,
    actor_of,
    labelled,
    show_once,
)
from agents.gateways import reach
from agents.messages import resend
from agents.models import (
    Activity,
    Agent,
    AgentToken,
    Gateway,
    IdempotencyKey,
    IntegrationKey,
    LiveWork,
    Membership,
    Message,
    Organization,
    Scope,
    SoulVersion,
    User,
)
from agents.posting import check_url
from agents.presence import with_presence

# Each takes up to ten seconds.
_CHECKED_AT_MOST = 5

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


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]  # Not generic at run time.
    """A new key, with its scopes to tick."""

    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        required=False,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
        help_text="None ticked: all that the role allows.",
    )


@admin.register(IntegrationKey)
class KeyPage(Page):
    """Keys of programs; a secret is shown once, when it is created."""

    form = KeyForm
    list_display = ("name", "organization", "prefix", "role", "last_used_at", "revoked_at")
    list_select_related = ("organization",)
    list_filter = ("role",)
    search_fields = ("name", "=prefix", "organization__name")
    fields = ("organization", "name", "role", "scopes", "expires_at")
    readonly_fields = ("prefix", "created_at", "last_used_at", "revoked_at")
    autocomplete_fields = ("organization",)
    actions = ("revoke",)
    create = staticmethod(create_key)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return (*self.fields, *self.readonly_fields) if obj else self.fields

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> IntegrationKey:
        organization = fields.pop("organization")
        terms = KeyTerms(**{**fields, "scopes": tuple(fields["scopes"])})
        key, secret = create_key(organization, terms, by=actor_of(request))
        show_once(request, f"The key {key.name}", secret)
        return key

    @admin.action(description="Revoke", permissions=["add"])
    def revoke(self, request: HttpRequest, rows: QuerySet[IntegrationKey]) -> None:
        self.for_each(request, rows, revoke_key, "Keys revoked")


@admin.register(AgentToken)
class TokenPage(Page):
    """Tokens of agents outside Signalbox; a secret is shown once, when it is made."""

    list_display = ("agent", "name", "prefix", "created_at", "last_used_at", "revoked_at")
    list_select_related = ("agent",)
    search_fields = ("agent__name", "=prefix")
    fields = ("agent", "name", "expires_at")
    readonly_fields = ("prefix", "created_at", "last_used_at", "revoked_at")
    autocomplete_fields = ("agent",)
    actions = ("revoke",)
    create = staticmethod(create_token)

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return (*self.fields, *self.readonly_fields) if obj else self.fields

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> AgentToken:
        agent = fields.pop("agent")
        token, secret = create_token(agent, by=actor_of(request), **fields)
        show_once(request, f"The token of {agent}", secret)
        return token

    @admin.action(description="Revoke", permissions=["add"])
    def revoke(self, request: HttpRequest, rows: QuerySet[AgentToken]) -> None:
        self.for_each(request, rows, revoke_token, "Tokens revoked")


class SoulRows(ReadOnlyRows):
    """The versions of an agent's soul; a change of the field `soul` adds the next."""

    model = SoulVersion
    fields = ("number", "author_name", "reason", "created_at")
    readonly_fields = fields
    show_change_link = True


class TokenRows(ReadOnlyRows):
    """An agent's tokens, without their secrets."""

    model = AgentToken
    fields = ("name", "prefix", "created_at", "expires_at", "revoked_at", "last_used_at")
    readonly_fields = fields


@admin.register(Gateway)
class GatewayPage(Page):
    """How agents outside Signalbox, and people, are reached."""

    list_display = ("name", "organization", "kind", "url", "is_enabled", "updated_at")
    list_select_related = ("organization",)
    list_filter = ("is_enabled", "kind", "organization")
    search_fields = ("name", "organization__name")
    autocomplete_fields = ("organization",)
    fixed_fields = ("organization", "kind")
    readonly_fields = ("created_at", "updated_at")
    checks = MappingProxyType({"url": check_url})
    actions = ("check_answers", "change_secret")
    create = staticmethod(create_gateway)
    change = staticmethod(change_gateway)
    remove = staticmethod(delete_gateway)

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Gateway:
        made = create_gateway(fields.pop("organization"), fields, by=actor_of(request))
        _show_secret(request, made)
        return made

    @admin.action(description="See whether the other side answers", permissions=["view"])
    def check_answers(self, request: HttpRequest, rows: QuerySet[Gateway]) -> None:
        for gateway in rows[:_CHECKED_AT_MOST]:
            problem = reach.check(gateway)
            level = messages.ERROR if problem else messages.SUCCESS
            self.message_user(request, f"{gateway.name}: {problem or 'it answers.'}", level)

    @admin.action(description="Change the secret", permissions=["change"])
    def change_secret(self, request: HttpRequest, rows: QuerySet[Gateway]) -> None:
        def rotate(gateway: Gateway, *, by: Actor) -> None:
            _show_secret(request, rotate_gateway_secret(gateway, by=by))

        self.for_each(request, rows, rotate, "Secrets changed; the old ones sign for 24 hours too")


def _show_secret(request: HttpRequest, gateway: Gateway) -> None:
    if gateway.secret:
        show_once(request, f"The secret of {gateway.name}", gateway.secret)


@admin.register(Message)
class MessagePage(ReadOnlyPage):
    """What was said to agents and people; what failed can be sent again."""

    list_display = ("kind", "recipient_name", "audience", "state", "content", "created_at")
    list_filter = ("state", "kind", "audience", "organization")
    search_fields = ("recipient_name", "correlation_id")
    actions = ("send_again",)

    @admin.action(description="Send again", permissions=["view"])
    def send_again(self, request: HttpRequest, rows: QuerySet[Message]) -> None:
        self.for_each(request, rows, resend, "Messages sent again")


@admin.register(Agent)
class AgentPage(Page):
    """Agents and their configuration."""

    list_display = ("name", "slug", "organization", "kind", "model", "is_now", "last_seen_at")
    is_now = labelled(
        "presence",
        {"busy": "info", "online": "success", "paused": "warning"},
        description="Status",
    )
    list_select_related = ("organization",)
    list_filter = ("is_paused", "kind", "organization")
    search_fields = ("name", "slug", "organization__name")
    autocomplete_fields = ("organization",)
    fixed_fields = ("organization",)
    readonly_fields = ("is_paused", "last_seen_at", "created_at", "updated_at")
    inlines = (SoulRows, TokenRows)
    actions: tuple[str, ...] = ("pause", "unpause", "rotate_token")
    checks = {**configuration.FIELD_CHECKS, "slug": slugs.check_slug}
    create = staticmethod(create_agent)
    change = staticmethod(configure_agent)
    remove = staticmethod(delete_agent)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Agent]:
        rows: QuerySet[Agent] = super().get_queryset(request)
        is_one = bool(request.resolver_match and "object_id" in request.resolver_match.kwargs)
        return rows if is_one else with_presence(rows.defer("soul"))

    def make(self, request: HttpRequest, fields: dict[str, Any]) -> Agent:
        organization = fields.pop("organization")
        return create_agent(organization, fields, by=actor_of(request))

    @admin.action(description="Pause", permissions=["change"])
    def pause(self, request: HttpRequest, rows: QuerySet[Agent]) -> None:
        self.for_each(request, rows, pause_agent, "Agents paused")

    @admin.action(description="Let go on", permissions=["change"])
    def unpause(self, request: HttpRequest, rows: QuerySet[Agent]) -> None:
        self.for_each(request, rows, unpause_agent, "Agents that go on")

    @admin.action(description="Rotate token", permissions=["change"])
    def rotate_token(self, request: HttpRequest, rows: QuerySet[Agent]) -> None:
        for agent in rows:
            _, secret = rotate_token(agent, by=actor_of(request))
            show_once(request, f"The token of {agent}", secret)


@admin.register(SoulVersion)
class SoulPage(ReadOnlyPage):
    """Every version of every soul."""

    list_display = ("agent", "number", "author_name", "reason", "created_at")
    list_select_related = ("agent",)
    search_fields = ("agent__name", "author_name")
    ordering = ("-id",)
    fields = ("agent", "number", "content", "reason", "source_url", "author_name", "created_at")
    readonly_fields = fields


@admin.register(LiveWork)
class LiveWorkPage(ReadOnlyPage):
    """Which executions are live."""

    list_display = ("execution_id", "agent", "board_id", "task_id")
    list_select_related = ("agent",)
    search_fields = ("agent__name",)


@admin.register(Activity)
class ActivityPage(ReadOnlyPage):
    """The permanent record, which nothing changes."""

    list_display = ("created_at", "type", "actor_name", "organization", "agent_id", "task_id")
    list_select_related = ("organization",)
    list_filter = ("actor_kind", "organization")
    search_fields = ("^type", "^actor_name")


@admin.register(IdempotencyKey)
class IdempotencyPage(ReadOnlyPage):
    """Requests that were carried out once; their answers are not shown."""

    list_display = ("created_at", "method", "path", "caller", "response_status", "expires_at")
    search_fields = ("^path", "=key")
    ordering = ("-id",)
    fields = ("caller", "method", "path", "key", "response_status", "execution_id", "expires_at")
