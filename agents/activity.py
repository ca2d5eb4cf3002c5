"""The one way to write a line of the permanent record, in the caller's transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import connection, transaction

from agents.models import Activity, ActorKind
from agents.redis import publish


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something: a member, a key, an agent, or the system itself."""

    kind: ActorKind
    id: UUID | None
    name: str


SYSTEM = Actor(ActorKind.SYSTEM, None, "Signalbox")


@dataclass(frozen=True, slots=True)
class Target:
    """What a line is about; each id may be of a thing that no longer exists."""

    agent_id: UUID | None = None
    board_id: UUID | None = None
    task_id: UUID | None = None
    execution_id: UUID | None = None


def record(
    organization_id: UUID,
    type: str,  # noqa: A002  The record's own word for it.
    *,
    by: Actor,
    target: Target | None = None,
    **data: Any,
) -> Activity:
    """Append one line of a type that an app declares, and tell watchers once it is committed."""
    line = unsaved(organization_id, type, by=by, target=target, **data)
    line.save(force_insert=True)
    tell_on_commit(organization_id)
    return line


def record_all(lines: Sequence[Activity]) -> None:
    """Append many lines that are `unsaved`, in one statement."""
    Activity.objects.bulk_create(lines)
    for organization_id in {line.organization_id for line in lines}:
        tell_on_commit(organization_id)


def unsaved(
    organization_id: UUID,
    type: str,  # noqa: A002  The record's own word for it.
    *,
    by: Actor,
    target: Target | None = None,
    **data: Any,
) -> Activity:
    """A line for `record_all`."""
    assert type in types(), f"{type} is in no app's `activity_types`."
    about = target or Target()
    return Activity(
        organization_id=organization_id,
        type=type,
        actor_kind=by.kind,
        actor_id=by.id,
        actor_name=by.name,
        agent_id=about.agent_id,
        board_id=about.board_id,
        task_id=about.task_id,
        execution_id=about.execution_id,
        data=data,
    )


@cache
def types() -> frozenset[str]:
    """Every type of line: what the apps declare in the `activity_types` of their configurations."""
    declared = (getattr(app, "activity_types", ()) for app in apps.get_app_configs())
    return frozenset().union(*declared)


def channel(organization_id: UUID) -> str:
    """Where it is told that an organization's record has new lines."""
    return f"signalbox:activity:{organization_id}"


def tell_on_commit(organization_id: UUID) -> None:
    """Tell watchers that there are new lines: once a transaction, however many they are."""
    tell = _teller(organization_id)
    if all(waiting[1] is not tell for waiting in connection.run_on_commit):
        transaction.on_commit(tell, robust=True)


@lru_cache(maxsize=1024)
def _teller(organization_id: UUID) -> Callable[[], None]:
    def tell() -> None:
        publish(channel(organization_id), {})

    return tell
