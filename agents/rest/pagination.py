"""Pages of a list, newest first, found by a cursor and never counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from django.core.exceptions import ValidationError
from django.db.models import Field, Model, QuerySet
from rest_framework.exceptions import NotFound
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

from agents.rest.refusals import CursorInvalid, LimitInvalid

if TYPE_CHECKING:  # DRF's views import this module by its name in the settings.
    from rest_framework.views import APIView


class NewestFirst(CursorPagination):
    """`limit` rows (50; 1 to 200) by UUIDv7, whose order is that of creation.

    A view with another unique order sets `ordering` on a subclass, and one whose rows are
    `alike` in a column names it in `within`.
    """

    ordering = "-id"
    within = ""
    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 200

    def paginate_queryset(
        self,
        queryset: QuerySet[Any] | Sequence[Any],
        request: Request,
        view: APIView | None = None,
    ) -> list[Any] | None:
        assert isinstance(queryset, QuerySet)
        self._model: type[Model] = queryset.model
        rows = _Within(queryset, self.within, self.ordering) if self.within else queryset
        return super().paginate_queryset(cast("QuerySet[Any]", rows), request, view)

    def get_page_size(self, request: Request) -> int:
        text = request.query_params.get("limit")
        if text is None:
            return self.page_size
        size = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
        if not 1 <= size <= self.max_page_size:
            raise LimitInvalid(minimum=1, maximum=self.max_page_size)
        return size

    def decode_cursor(self, request: Request) -> Cursor | None:
        """The cursor of the request; its position is a value of the field that orders."""
        try:
            cursor = super().decode_cursor(request)
            if cursor is not None and cursor.position is not None:
                field = self._model._meta.get_field(self.ordering[0].lstrip("-"))
                assert isinstance(field, Field)
                field.to_python(cursor.position)
        except (NotFound, ValidationError, ValueError, TypeError, OverflowError) as exc:
            raise CursorInvalid from exc
        return cursor

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        size = {"type": "integer", "minimum": 1, "maximum": self.max_page_size}
        return [
            {
                "name": "cursor",
                "in": "query",
                "required": False,
                "description": "From `next` or `previous` of another page.",
                "schema": {"type": "string"},
            },
            {
                "name": "limit",
                "in": "query",
                "required": False,
                "description": "How many at most.",
                "schema": {**size, "default": self.page_size},
            },
        ]

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }


@dataclass(frozen=True, slots=True)
class _Within:
    """Rows whose order begins with a column, whatever DRF orders them by."""

    rows: QuerySet[Any]
    column: str
    forwards: str

    def order_by(self, order: str) -> QuerySet[Any]:
        # An index can be walked from either end, and then all of its columns turn.
        return self.rows.order_by(
            self.column if order == self.forwards else f"-{self.column}", order
        )
