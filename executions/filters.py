"""Which executions a list shows."""

from __future__ import annotations

from uuid import UUID

from django import forms
from django.db.models import Q, QuerySet
from django_filters import rest_framework as filters
from rest_framework.exceptions import ErrorDetail, ValidationError

from agents.filters import Filters, YesOrNo, newest
from executions.models import (
    CallStatus,
    Entry,
    Execution,
    Job,
    JobStatus,
    Signal,
    Status,
    ToolCall,
)

# How many executions a search for text looks into.
NEWEST = 10_000
# Seconds. Key and time of a row are made one after the other, by the same clock.
_KEY_TOLERANCE = 10.0
_AWAITING = (CallStatus.AWAITING_APPROVAL.value, CallStatus.AWAITING_APPROVAL.label)


class _Statuses(filters.BaseInFilter, filters.ChoiceFilter):
    """One status, or several with commas between them."""


class ExecutionFilter(Filters):
    """Which executions.

    `text` is an execution's id, or looks into the input, the agent's name and the failure of the
    newest ones that the other filters leave; `created` leads it further back.
    """

    status = _Statuses(choices=Status.choices)
    agent = filters.UUIDFilter(field_name="agent_id")
    board = filters.UUIDFilter(field_name="board_id")
    task = filters.UUIDFilter(field_name="task_id")
    parent = filters.UUIDFilter(field_name="parent_id")
    created = filters.IsoDateTimeFromToRangeFilter(method="created_within")
    failure_code = filters.CharFilter(method="failed_with", max_length=60)
    text = filters.CharFilter(method="containing", max_length=200)

    class Meta:
        model = Execution
        fields: list[str] = []

    def failed_with(self, rows: QuerySet[Execution], name: str, code: str) -> QuerySet[Execution]:
        # The status makes the index by status serve it: only what failed has a code.
        return rows.filter(status=Status.FAILED, failure_code=code)

    def created_within(
        self, rows: QuerySet[Execution], name: str, times: slice
    ) -> QuerySet[Execution]:
        # A UUIDv7 begins with its time: bounds on the key, which the lists' indexes are in the
        # order of, spare the walk through everything newer. The column says exactly.
        if times.start:
            earliest = _first_key(times.start.timestamp() - _KEY_TOLERANCE)
            rows = rows.filter(created_at__gte=times.start, pk__gte=earliest)
        if times.stop:
            latest = _first_key(times.stop.timestamp() + _KEY_TOLERANCE)
            rows = rows.filter(created_at__lte=times.stop, pk__lt=latest)
        return rows

    def containing(self, rows: QuerySet[Execution], name: str, text: str) -> QuerySet[Execution]:
        try:
            return rows.filter(pk=UUID(text))
        except ValueError:
            # No index serves a part of a text: a bound keeps the walk short.
            return newest(rows, NEWEST).filter(_anywhere(text))


class AgentExecutionFilter(ExecutionFilter):
    """The same for the executions of one agent, which the path names."""

    agent = None  # type: ignore[assignment]  # So django-filter takes an inherited one away.


class ChildFilter(ExecutionFilter):
    """The same for the children of one execution, which the path names."""

    parent = None  # type: ignore[assignment]  # As above.


class _Whole(filters.NumberFilter):
    """A whole number that fits the column."""

    field_class = forms.IntegerField  # type: ignore[assignment]  # Narrower: no decimals.

    def __init__(self, field_name: str) -> None:
        super().__init__(field_name, lookup_expr="gt", min_value=0, max_value=2**31 - 1)


class EventFilter(Filters):
    """Events after a seq."""

    after = _Whole("seq")


class EntryFilter(Filters):
    """Entries after a position, and up to one of them."""

    after = _Whole("position")
    leaf = filters.UUIDFilter(method="up_to")

    def up_to(self, rows: QuerySet[Entry], name: str, leaf: UUID) -> QuerySet[Entry]:
        # `rows` may begin after the leaf already, and then there is nothing to show.
        assert self.queryset is not None
        last = self.queryset.filter(pk=leaf).values_list("position", flat=True).first()
        if last is None:
            text = "There is no such entry in the line of this execution."
            raise ValidationError({name: [ErrorDetail(text, code="does_not_exist")]})
        return rows.filter(position__lte=last)


class SignalFilter(Filters):
    """Signals by name, and whether they wait to be consumed."""

    name = filters.CharFilter(max_length=200)
    pending = YesOrNo(field_name="consumed_at", lookup_expr="isnull")

    class Meta:
        model = Signal
        fields: list[str] = []


class ToolCallFilter(Filters):
    """Tool calls by where they are or how they ended, and by their tool."""

    status = _Statuses(choices=CallStatus.choices)
    name = filters.CharFilter(max_length=200)

    class Meta:
        model = ToolCall
        fields: list[str] = []


class JobFilter(Filters):
    """Jobs by where they are and what they do."""

    status = _Statuses(choices=JobStatus.choices)
    kind = filters.CharFilter(max_length=80)

    class Meta:
        model = Job
        fields: list[str] = []


class AwaitingCallFilter(Filters):
    """Calls that wait for a person: of one agent or board. `status` may say so too."""

    status = filters.ChoiceFilter(choices=[_AWAITING])
    agent = filters.UUIDFilter(field_name="execution__agent_id")
    board = filters.UUIDFilter(field_name="execution__board_id")

    class Meta:
        model = ToolCall
        fields: list[str] = []


def _first_key(moment: float) -> UUID:
    """The least UUIDv7 of a Unix time (RFC 9562, 5.7); the first of all for one before 1970."""
    milliseconds = max(0, int(moment * 1000))
    return UUID(int=min(milliseconds, 2**48 - 1) << 80)


def _anywhere(text: str) -> Q:
    found = Q()
    for field in ("input__prompt", "input__action", "agent_name", "failure_message"):
        found |= Q(**{f"{field}__icontains": text})
    return found
