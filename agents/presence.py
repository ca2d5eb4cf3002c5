"""Whether an agent is paused, busy, online or offline: computed, never stored.

The first that holds: `paused`; `busy` with live work; for an agent that runs itself `provisioning`
(never seen), `offline` (not seen for ten minutes), else `online`; for any other `online` while a
live worker serves its queue (where it is remote, one that polls there for its kind), else
`offline`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import timedelta

from django.db.models import (
    Case,
    CharField,
    Exists,
    F,
    OuterRef,
    Q,
    QuerySet,
    TextChoices,
    Value,
    When,
)
from django.db.models.functions import Cast, Coalesce, Concat
from django.utils import timezone

from agents.models import Agent, LiveWork
from agents.remote import of_remote_kind

RUNS_ITSELF = "external"
SEEN_WITHIN = timedelta(minutes=10)
_BELIEVED_SECONDS = 5.0
_DEFAULT_QUEUE = "executions"


class Presence(TextChoices):
    """The computed status of an agent."""

    PAUSED = "paused"
    BUSY = "busy"
    PROVISIONING = "provisioning"
    OFFLINE = "offline"
    ONLINE = "online"


class _Queues:
    """Which queues live workers serve, as the floor above tells; believed for five seconds."""

    def __init__(self) -> None:
        self._ask: Callable[[], Collection[str]] = tuple
        self._told: Collection[str] = ()
        self._at = float("-inf")

    def told_by(self, ask: Callable[[], Collection[str]]) -> None:
        self._ask = ask
        self.forget()

    def forget(self) -> None:
        self._at = float("-inf")

    def __call__(self) -> Collection[str]:
        if time.monotonic() - self._at > _BELIEVED_SECONDS:
            self._told, self._at = self._ask(), time.monotonic()
        return self._told


# Workers are rows of a higher floor: `config` says who tells of them.
served_queues = _Queues()


def with_presence(rows: QuerySet[Agent]) -> QuerySet[Agent]:
    """The agents, each with its `presence`, in the same query."""
    is_own = Q(kind=RUNS_ITSELF)
    seen = Q(last_seen_at__gt=timezone.now() - SEEN_WITHIN)
    status = Case(
        When(is_paused=True, then=Value(Presence.PAUSED)),
        When(Exists(LiveWork.objects.filter(agent=OuterRef("pk"))), then=Value(Presence.BUSY)),
        When(is_own & Q(last_seen_at=None), then=Value(Presence.PROVISIONING)),
        When(is_own & seen, then=Value(Presence.ONLINE)),
        When(is_own, then=Value(Presence.OFFLINE)),
        When(queue__in=list(served_queues()), then=Value(Presence.ONLINE)),
        default=Value(Presence.OFFLINE),
        output_field=CharField(),
    )
    # The seat is a row of the floor above; only the database's name of it is used here.
    queue = Coalesce(F("seat__board__worker_queue"), Value(_DEFAULT_QUEUE))
    served = Case(When(of_remote_kind(), then=_place(queue)), default=queue)
    told: QuerySet[Agent] = rows.annotate(queue=served).annotate(presence=status)
    return told


def _place(queue: Coalesce) -> Concat:
    """The same as `remote.place`, of an agent's row."""
    organization = Cast("organization_id", CharField())
    return Concat(organization, Value("/"), "kind", Value("@"), queue, output_field=CharField())


def presence_of(agent: Agent) -> str:
    """The computed status of one agent, which may bring it along."""
    if not hasattr(agent, "presence"):
        agent = with_presence(Agent.objects.filter(pk=agent.pk)).get()
    return str(getattr(agent, "presence"))  # noqa: B009  The annotation of with_presence.
