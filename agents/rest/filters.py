"""Filters of lists by query parameters, of which none is silently ignored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from django_filters.widgets import SuffixedMultiWidget
from rest_framework.exceptions import ErrorDetail, ValidationError

from agents.rest.refusals import UnknownParameter

if TYPE_CHECKING:  # DRF's views import this module by its name in the settings.
    from rest_framework.views import APIView

_OF_EVERY_PAGE = ("cursor", "limit")


class StrictFilterBackend(DjangoFilterBackend):
    """An unknown parameter is 400, an unknown value 422.

    A view names parameters that are not filters in `query_parameters`: a collection, or one for
    each action. A request for one thing by its id is not filtered.
    """

    def filter_queryset(
        self, request: HttpRequest, queryset: QuerySet[Any], view: APIView
    ) -> QuerySet[Any]:
        own = _declared(view)
        if _is_detail(view):
            require_known(request, own)
            return queryset
        filterset = self.get_filterset(request, queryset, view)
        names = _names(filterset) if filterset is not None else []
        paged = _OF_EVERY_PAGE if getattr(view, "pagination_class", None) else ()
        require_known(request, {*own, *names, *paged})
        _require_values(request, names)
        return super().filter_queryset(request, queryset, view)


def _is_detail(view: APIView) -> bool:
    lookup = getattr(view, "lookup_url_kwarg", None) or getattr(view, "lookup_field", "")
    return lookup in view.kwargs


def _declared(view: APIView) -> Iterable[str]:
    declared = getattr(view, "query_parameters", ())
    if isinstance(declared, Mapping):
        declared = declared.get(getattr(view, "action", None), ())
    return tuple(declared)


def _names(filterset: FilterSet) -> list[str]:
    """Every parameter that the filters read; a range reads two."""
    names: list[str] = []
    for name, field in filterset.form.fields.items():
        widget = field.widget
        if isinstance(widget, SuffixedMultiWidget):
            names += [widget.suffixed(name, suffix) for suffix in widget.suffixes]
        else:
            names.append(name)
    return names


def require_known(request: HttpRequest, allowed: Iterable[str]) -> None:
    """Nothing, if the query has no other parameters. Raises UnknownParameter."""
    unknown = set(request.GET) - set(allowed)
    if unknown:
        raise UnknownParameter(unknown=sorted(unknown), allowed=sorted(allowed))


def _require_values(request: HttpRequest, names: Iterable[str]) -> None:
    """Refuse `?status=`, which a filter would take for the absence of its parameter."""
    blank = [name for name in names if request.GET.get(name) == ""]
    if blank:
        error = ErrorDetail("Give a value, or leave the parameter out.", code="blank")
        raise ValidationError({name: [error] for name in blank})
