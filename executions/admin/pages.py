"""What the admin's pages of executions, and of their rows, share."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agents.admin.pages import ReadOnlyPage


class OfExecution(ReadOnlyPage):
    """Rows of an execution, found by its id."""

    search_fields = ("execution",)
    search_help_text = "The id of an execution"
    # A choice of executions would read all of them.
    list_filter: tuple[Any, ...] = ()

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return by_id(queryset, search_term, "execution_id"), False

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # The links of an execution's page.
        return lookup == "execution__id__exact" or bool(
            super().lookup_allowed(lookup, value, request)
        )

    @admin.display(description="Execution", ordering="execution_id")
    def of(self, row: Any) -> SafeString:
        """A link to the execution."""
        page = reverse("admin:executions_execution_change", args=[row.execution_id])
        return link(page, short(row.execution_id))

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> Any:
        return [field.name for field in self.opts.concrete_fields]


def by_id(rows: QuerySet[Any], text: str, field: str) -> QuerySet[Any]:
    if not text:
        return rows
    key = as_id(text)
    return rows.filter(**{field: key}) if key else rows.none()


def as_id(text: str) -> UUID | None:
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def short(key: UUID) -> SafeString:
    """The end of an id, which tells rows of one minute apart; all of it on a hover."""
    shown = '<span class="whitespace-nowrap" title="{}">…{}</span>'
    return format_html(shown, key, str(key)[-8:])


def link(page: str, words: str) -> SafeString:
    """A link that looks like one."""
    shown = '<a class="text-primary-600 dark:text-primary-500" href="{}">{}</a>'
    return format_html(shown, page, words)


def as_text(value: Any) -> SafeString:
    """A text as it stands, anything else as JSON."""
    return as_block(value) if isinstance(value, str) else as_json(value)


def as_json(value: Any) -> SafeString:
    return as_block(json.dumps(value, indent=2, ensure_ascii=False))


def as_block(text: str) -> SafeString:
    """Text as it stands, with long lines broken rather than the page widened."""
    style = "white-space: pre-wrap; overflow-wrap: anywhere"
    return format_html('<pre style="{}">{}</pre>', style, text)
