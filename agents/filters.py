"""What filters of lists have in common."""

from typing import Any

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters
from drf_spectacular.utils import extend_schema_field


class Filters(filters.FilterSet):
    """The query parameters of one list, each declared by name."""


@extend_schema_field({"type": "boolean"})
class YesOrNo(filters.TypedChoiceFilter):
    """`true` or `false`; django-filter's own would pass over any other word in silence."""

    def __init__(self, **options: Any) -> None:
        words = (("true", "true"), ("false", "false"))
        super().__init__(choices=words, coerce=lambda word: word == "true", **options)


class Words(filters.BaseInFilter, filters.ChoiceFilter):
    """One or more of the choices, with commas between."""


def containing(rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """Those whose name, slug or description contains the text, in any case."""
    named = Q(name__icontains=text) | Q(slug__icontains=text)
    return rows.filter(named | Q(description__icontains=text))


def newest(rows: QuerySet[Any], count: int, *, within: str = "") -> QuerySet[Any]:
    """At most so many of these rows, the newest, for a filter that no index serves.

    `within` is the column in which the rows are alike, if an index begins with it. The bound is
    asked for first: a planner that does not know it walks the whole table (PostgreSQL 18).
    """
    order = [within, "-pk"] if within else ["-pk"]
    keys = rows.order_by(*order).values_list("pk", flat=True)[count - 1 : count]
    oldest = next(iter(keys), None)
    return rows if oldest is None else rows.filter(pk__gte=oldest)
