"""From the queue to a worker: order, permit, message.

Dispatch runs after a start, after a permit is given back, and in the sweep. It admits what fits,
in the order of `rank`, and sends one message for each; the message is only a hint.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from uuid import UUID

import kombu.exceptions
import redis
from celery import current_app
from django.db import transaction
from django.db.models import F, Q, QuerySet

from executions import durability, locks, semaphore
from executions.engine import permits
from executions.models import Execution, Status
from executions.semaphore import Decision, PermitsLost, Request
from executions.states import ClockTimestamp

logger = logging.getLogger(__name__)

BATCH = 25
# One walk looks past so many blocked agents and boards; the sweep goes on from there.
MAX_BATCHES = 20
# Of four wide rows, with their JSON, a walk needs little.
_NEEDED = (
    "epoch",
    "blocked_by",
    "worker_queue",
    "organization__max_concurrent",
    "board__max_concurrent",
    "agent__max_concurrency",
)


def dispatch(organization_id: UUID) -> int:
    """Admit what fits of an organization's queue and send it; returns how many were admitted.

    Never raises for Redis being away: the rows stay queued, and the sweep comes back to them.
    """
    try:
        return _walk(organization_id)
    except PermitsLost:
        if held := permits.rebuild():
            logger.warning("Redis is another or was flushed: %s permits were rebuilt.", held)
        return _walk(organization_id)
    except redis.RedisError as error:
        logger.warning("Nothing is admitted while Redis is away: %s", error)
        return 0


def _walk(organization_id: UUID) -> int:
    """Admit batch by batch, looking past agents and boards that are at their limit."""
    admitted, blocked = 0, _Blocked()
    for _ in range(MAX_BATCHES):
        batch = _admit_batch(organization_id, blocked)
        admitted += len(batch.sent)
        for execution in batch.sent:
            send(execution)
        if not batch.is_full or blocked.everything:
            break
    return admitted


class _Blocked:
    """The scopes that were found full during one walk."""

    def __init__(self) -> None:
        self.everything = False
        self.boards: set[UUID] = set()
        self.agents: set[UUID] = set()

    def note(self, execution: Execution, scope: str) -> None:
        if scope == "organization":
            self.everything = True
        elif scope == "board" and execution.board_id is not None:
            self.boards.add(execution.board_id)
        elif execution.agent_id is not None:
            self.agents.add(execution.agent_id)

    def exclusion(self) -> Q:
        return Q(board_id__in=self.boards) | Q(agent_id__in=self.agents)


class _Batch:
    def __init__(self, sent: list[Execution], *, is_full: bool) -> None:
        self.sent = sent
        self.is_full = is_full


def _admit_batch(organization_id: UUID, blocked: _Blocked) -> _Batch:
    with transaction.atomic():
        durability.relax()
        locks.admit(organization_id)
        candidates = _candidates(organization_id, blocked)
        requests = [
            Request(f"{candidate.id}:{candidate.epoch}", permits.scopes(candidate))
            for candidate in candidates
        ]
        decisions = semaphore.acquire(requests)
        granted = _note(candidates, decisions, blocked)
    return _Batch(granted, is_full=len(candidates) == BATCH)


def _candidates(organization_id: UUID, blocked: _Blocked) -> list[Execution]:
    return list(
        _queued(organization_id)
        .exclude(blocked.exclusion())
        .exclude(Q(agent__is_paused=True) | Q(board__is_paused=True))
        .select_related("organization", "board", "agent")
        .only(*_NEEDED)
        .select_for_update(skip_locked=True, of=("self",), no_key=True)
        .order_by("rank", "id")[:BATCH]
    )


def _queued(organization_id: UUID) -> QuerySet[Execution]:
    """What waits for a permit."""
    return Execution.objects.filter(
        organization_id=organization_id, status=Status.QUEUED, admitted_epoch=None
    )


def _note(
    candidates: Sequence[Execution], decisions: Sequence[Decision], blocked: _Blocked
) -> list[Execution]:
    """Write down who was admitted and what blocks the others; returns the admitted."""
    granted = []
    for execution, decision in zip(candidates, decisions, strict=True):
        if decision.is_granted:
            granted.append(execution)
            continue
        blocked.note(execution, decision.scope)
        if execution.blocked_by != decision.scope:
            Execution.objects.filter(pk=execution.pk).update(blocked_by=decision.scope)
    if granted:
        now = ClockTimestamp()
        Execution.objects.filter(pk__in=[execution.pk for execution in granted]).update(
            admitted_epoch=F("epoch"), admitted_at=now, sent_at=now, blocked_by=""
        )
    return granted


def send(execution: Execution) -> None:
    """Send the hint that wakes a worker; a failure is logged, and the sweep sends again."""
    try:
        current_app.send_task(
            "executions.tasks.advance",
            args=(str(execution.id), execution.epoch),
            queue=execution.worker_queue,
            retry=False,
            ignore_result=True,
        )
    except (kombu.exceptions.OperationalError, redis.RedisError, OSError) as error:
        logger.warning("The hint for %s is sent again later: %s", execution.id, error)


def send_back(execution_id: UUID, epoch: int) -> None:
    """Hand a message on that this worker will not take, because it is stopping."""
    waiting = Execution.objects.filter(pk=execution_id, epoch=epoch, status=Status.QUEUED)
    for execution in waiting:
        send(execution)


def dispatch_on_commit(organization_id: UUID) -> None:
    """Dispatch after the transaction; a failure there never fails what was committed."""
    transaction.on_commit(partial(dispatch, organization_id), robust=True)


def dispatch_next_on_commit(organization_id: UUID) -> None:
    """The same after a permit was given back, for which mostly nobody waits."""
    transaction.on_commit(partial(_dispatch_next, organization_id), robust=True)


def _dispatch_next(organization_id: UUID) -> None:
    # Who queues a row after this look dispatches it after its own commit, so the queue's lock is
    # for those who find something.
    if _queued(organization_id).exists():
        dispatch(organization_id)
