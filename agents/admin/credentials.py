"""Keys of programs and tokens of agents; a secret is shown once, when it is made."""

from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from agents.actions import (
    KeyTerms,
    create_key,
    create_token,
    revoke_key,
    revoke_token,
)
from agents.admin.pages import (
    Page,
    actor_of,
    show_once,
)
from agents.models import (
    AgentToken,
    IntegrationKey,
    Scope,
)


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
