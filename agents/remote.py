"""The kinds of agents that workers outside carry on: `remote`, or `remote:` and a name."""

from __future__ import annotations

import re
from uuid import UUID

from django.db.models import Q

REMOTE = "remote"
_KIND = re.compile(rf"{REMOTE}(:[a-z0-9][a-z0-9._-]{{0,59}})?")


def is_remote(kind: str) -> bool:
    """Whether a worker outside carries on what is of this kind."""
    return _KIND.fullmatch(kind) is not None


def of_remote_kind(field: str = "kind") -> Q:
    """Rows whose kind is one of those; no other kind begins like them."""
    return Q(**{field: REMOTE}) | Q(**{f"{field}__startswith": f"{REMOTE}:"})


def place(organization_id: UUID, kind: str, queue: str) -> str:
    """Where a worker outside polls for this, by a name that no queue of Celery's has."""
    return f"{organization_id}/{kind}@{queue}"


def served_as(organization_id: UUID, kind: str, queue: str) -> str:
    """What a worker has to serve that carries this on: the queue, or the place where it polls."""
    return place(organization_id, kind, queue) if is_remote(kind) else queue
