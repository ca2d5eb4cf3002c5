"""The one way to write a line of the permanent record, in the caller's transaction."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from agents.models import Activity, ActorKind


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
    """Append one line of `type` (see the event types of the documentation) by an actor."""
    about = target or Target()
    return Activity.objects.create(
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
