"""Workers outside that poll for executions: their signs of life, and the hints that wake them."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from uuid import UUID, uuid5

from agents import prepared
from agents import redis as hints
from agents.remote import place

# Names one poller, and one place at which pollers wait.
_NAMESPACE = UUID("6f0ad3b6-2c1c-5d0e-9f5e-2f8a4c7d1b52")
# One row a poller, as a keeper writes one for a process of Celery's. What it carries on shows in
# the rows that name it.
_SIGN = """
INSERT INTO executions_worker
  (id, name, host, pid, queues, kinds, concurrency, running, started_at, seen_at, is_draining)
VALUES (%(id)s, %(name)s, '', 0, %(places)s, '[]', 1, 0, clock_timestamp(), clock_timestamp(),
        false)
ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, queues = excluded.queues
RETURNING id
"""
_STILL_HERE = """
UPDATE executions_worker SET seen_at = clock_timestamp() WHERE id = %(id)s RETURNING id
"""


def give_sign(organization_id: UUID, name: str, places: Sequence[str]) -> None:
    """Write down that a worker of this name polls at these places."""
    sign = {"id": _key(organization_id, name), "name": name, "places": json.dumps(places)}
    prepared.rows(_SIGN, sign)


def give_sign_again(organization_id: UUID, name: str) -> None:
    """Write down that it is still there: it works, and does not poll meanwhile."""
    prepared.rows(_STILL_HERE, {"id": _key(organization_id, name)})


def places_of(organization_id: UUID, kinds: Collection[str], queue: str) -> list[str]:
    """Where a poller for these kinds waits."""
    return [place(organization_id, kind, queue) for kind in sorted(kinds)]


def room_of(where: str) -> UUID:
    """The key by which a process's waiters at a place are found."""
    return uuid5(_NAMESPACE, where)


def channel(room: UUID) -> str:
    """Where it is told that there is something to poll for."""
    return f"signalbox:poll:{room}"


def call(organization_id: UUID, kind: str, queue: str) -> None:
    """Wake who polls for this; without the hint they look a second later."""
    where = place(organization_id, kind, queue)
    hints.publish(channel(room_of(where)), {"place": where})


def _key(organization_id: UUID, name: str) -> UUID:
    return uuid5(_NAMESPACE, f"{organization_id}:{name}")
