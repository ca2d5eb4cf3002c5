"""What a worker outside asks to wait for, as the engine knows waits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from rest_framework.exceptions import ErrorDetail, ValidationError

from boards.models import Approval
from executions.engine.conditions import Wait, Wanted
from executions.models import Condition, Execution, Job, WaitMode


def wait_of(
    execution: Execution, *, mode: str, conditions: Sequence[Mapping[str, Any]], reason: str
) -> Wait:
    """The wait. Raises a ValidationError for jobs, children and approvals that are not its own."""
    timers = [each["seconds"] for each in conditions if each["kind"] == Condition.Kind.TIMER]
    wanted = [each for each in conditions if each["kind"] != Condition.Kind.TIMER]
    _check_targets(execution, conditions)
    return Wait(
        [Wanted(Condition.Kind(w["kind"]), w.get("name", ""), w.get("id")) for w in wanted],
        WaitMode(mode),
        seconds=timers[0] if timers else None,
        reason=reason,
    )


def _check_targets(execution: Execution, conditions: Sequence[Mapping[str, Any]]) -> None:
    problems = {}
    for kind, rows in _own(execution).items():
        named = {each["id"]: n for n, each in enumerate(conditions) if each["kind"] == kind}
        there: set[UUID] = set(rows.filter(pk__in=named).values_list("pk", flat=True))
        for key in named.keys() - there:
            detail = ErrorDetail(f"It has no {kind} of this id.", code="does_not_exist")
            problems[f"conditions[{named[key]}].id"] = [detail]
    if problems:
        raise ValidationError(problems)


def _own(execution: Execution) -> dict[Condition.Kind, QuerySet[Any]]:
    """What belongs to the execution, and can be waited for by its id."""
    return {
        Condition.Kind.JOB: Job.objects.filter(execution=execution),
        Condition.Kind.CHILD: Execution.objects.filter(parent=execution),
        Condition.Kind.APPROVAL: Approval.objects.filter(execution_id=execution.id),
    }
