"""Permits beside rows: what an execution needs one for, and keeping Redis true to PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import redis
from django.db import transaction
from django.db.models import QuerySet

from executions import locks, semaphore
from executions.models import Execution
from executions.semaphore import Scope

logger = logging.getLogger(__name__)


_NAMES = ("organization", "board", "agent")


def scopes(ids: Sequence[object], limits: Sequence[int | None]) -> tuple[Scope, ...]:
    """The scopes of an organization, a board and an agent, in this order; None is left out."""
    return tuple(
        Scope(name, str(id_), limit)
        for name, id_, limit in zip(_NAMES, ids, limits, strict=True)
        if id_ is not None
    )


def _unlimited(ids: Sequence[object]) -> tuple[Scope, ...]:
    return scopes(ids, (None, None, None))


def give_back(execution: Execution, member: str) -> None:
    """Release a permit after the row has moved on. Redis away: reconciliation does it later."""
    where = _unlimited((execution.organization_id, execution.board_id, execution.agent_id))
    try:
        semaphore.release(member, where)
    except redis.RedisError as error:
        logger.warning("Permit %s is given back later: %s", member, error)


def _holders(rows: QuerySet[Execution]) -> dict[str, tuple[Scope, ...]]:
    fields = ("id", "admitted_epoch", "organization_id", "board_id", "agent_id")
    return {
        f"{id_}:{epoch}": _unlimited((organization, board, agent))
        for id_, epoch, organization, board, agent in rows.values_list(*fields)
    }


def rebuild() -> int:
    """Make the sets of Redis from the rows that hold a permit; returns how many there are.

    Serves the first start, a flush, a restart, and (every minute) what a crash between a commit
    and a release left behind.
    """
    with transaction.atomic():
        locks.permits()
        holders = _holders(Execution.objects.filter(admitted_epoch__isnull=False))
        semaphore.rebuild(holders)
        # Who gave a permit back after the rows were read took nothing out of the new sets.
        current = _holders(Execution.objects.filter(admitted_epoch__isnull=False))
        for member in holders.keys() - current.keys():
            semaphore.release(member, holders[member])
    return len(current)
