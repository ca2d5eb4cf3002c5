"""Which executions a list shows."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters

from agents.filters import Filters
from executions.models import Execution, Status


class _Statuses(filters.BaseInFilter, filters.ChoiceFilter):  # type: ignore[misc]  # No types.
    """One status, or several with commas between them."""


class ExecutionFilter(Filters):
    """`text` looks into the input, the agent's name and the failure, or is an execution's id."""

    status = _Statuses(choices=Status.choices)
    agent = filters.UUIDFilter(field_name="agent_id")
    board = filters.UUIDFilter(field_name="board_id")
    task = filters.UUIDFilter(field_name="task_id")
    parent = filters.UUIDFilter(field_name="parent_id")
    created = filters.IsoDateTimeFromToRangeFilter(field_name="created_at")
    failure_code = filters.CharFilter(method="failed_with", max_length=60)
    text = filters.CharFilter(method="containing", max_length=200)

    class Meta:
        model = Execution
        fields: list[str] = []

    def failed_with(self, rows: QuerySet[Execution], name: str, code: str) -> QuerySet[Execution]:
        # The status makes the index by status serve it: only what failed has a code.
        return rows.filter(status=Status.FAILED, failure_code=code)

    def containing(self, rows: QuerySet[Execution], name: str, text: str) -> QuerySet[Execution]:
        try:
            return rows.filter(pk=UUID(text))
        except ValueError:
            return rows.filter(_anywhere(text))


class AgentExecutionFilter(ExecutionFilter):
    """The same for the executions of one agent, which the path names."""

    agent = None  # type: ignore[assignment]  # So django-filter takes an inherited one away.


class EventFilter(Filters):
    """Events after a seq."""

    after = filters.NumberFilter(
        field_name="seq", lookup_expr="gt", min_value=0, max_value=2**31 - 1
    )


class EntryFilter(Filters):
    """Entries after a position."""

    after = filters.NumberFilter(
        field_name="position", lookup_expr="gt", min_value=0, max_value=2**31 - 1
    )


def _anywhere(text: str) -> Q:
    found = Q()
    for field in ("input__prompt", "input__action", "agent_name", "failure_message"):
        found |= Q(**{f"{field}__icontains": text})
    return found
