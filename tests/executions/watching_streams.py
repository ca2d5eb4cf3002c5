"""Executions that are watched in tests: rows as runs write them, and what readers saw."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F
from uuid_utils.compat import uuid7

from agents.models import Agent, Organization, Role
from executions import stream
from executions.models import Event, Execution
from tests.executions.carrying import complete
from tests.factories import make_key
from tests.starting import a_run, an_agent

BASE = "/executions/agents"


def one(execution: Execution, rest: str = "") -> str:
    return f"{BASE}/{execution.id}/stream{rest}"


def tree(execution: Execution, rest: str = "") -> str:
    return one(execution, f"/consolidated{rest}")


def reading_key(organization: Organization) -> dict[str, str]:
    return {"Authorization": f"Bearer {make_key(organization, Role.VIEWER)[1]}"}


def told_of(execution: Execution, kind: str = "execution.turn", **facts: Any) -> int:
    """Write the next event of an execution, as any commit does; its number."""
    with transaction.atomic():
        Execution.objects.filter(pk=execution.pk).update(event_seq=F("event_seq") + 1)
        execution.refresh_from_db(fields=["event_seq"])
        seq = execution.event_seq
        Event.objects.create(id=uuid7(), execution=execution, seq=seq, type=kind, data=facts)
        stream.publish_on_commit(execution)
    return seq


def a_child(parent: Execution, agent: Agent | None = None) -> Execution:
    """A child as a spawn makes it, with its parent's event, in one transaction."""
    with transaction.atomic():
        child = a_run(agent or an_agent(parent.organization), {"say": "x"})
        Execution.objects.filter(pk=child.pk).update(parent=parent, depth=parent.depth + 1)
        told_of(parent, "child.spawned", child=str(child.id))
    child.refresh_from_db()
    return child


def end(execution: Execution) -> None:
    complete(execution)


def rows_of(*executions: Execution) -> dict[UUID, list[tuple[int, str]]]:
    """The events that each of them has."""
    return {
        execution.id: list(
            Event.objects.filter(execution=execution).order_by("seq").values_list("seq", "type")
        )
        for execution in executions
    }


def seen(events: list[Any]) -> dict[UUID, list[tuple[int, str]]]:
    """The numbered events of each execution among those that were read, as they were read."""
    by_execution: dict[UUID, list[tuple[int, str]]] = {}
    for event in events:
        if event.id:
            mine = by_execution.setdefault(UUID(event.data["exec_id"]), [])
            mine.append((event.data["seq"], event.type))
    return by_execution
