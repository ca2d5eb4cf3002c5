"""Permits beside rows: what an execution needs one for, and keeping Redis true to PostgreSQL."""

from __future__ import annotations

import logging

import redis
from django.db import transaction
from django.db.models import QuerySet

from executions import locks, semaphore
from executions.models import Execution
from executions.semaphore import Scope

logger = logging.getLogger(__name__)


def scopes(execution: Execution) -> tuple[Scope, ...]:
    """The scopes of an execution with their limits; needs its organization, board and agent."""
    found = [
        Scope("organization", str(execution.organization_id), execution.organization.max_concurrent)
    ]
    if execution.board is not None:
        found.append(Scope("board", str(execution.board_id), execution.board.max_concurrent))
    if execution.agent is not None:
        found.append(Scope("agent", str(execution.agent_id), execution.agent.max_concurrency))
    return tuple(found)


def _unlimited(row: tuple[object, object, object]) -> tuple[Scope, ...]:
    names = ("organization", "board", "agent")
    return tuple(Scope(n, str(i)) for n, i in zip(names, row, strict=True) if i is not None)


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
