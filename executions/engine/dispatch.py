"""From the queue to a worker: order, permit, message.

Dispatch runs after a start, after a permit is given back, and in the sweep. It admits what fits,
in the order of `rank`, and sends one message for each; the message is only a hint.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID

import kombu.exceptions
import redis
from celery import current_app
from django.db import transaction

from agents import prepared
from agents.redis import is_silent, note_silence
from agents.remote import is_remote
from executions import capacity, locks, pollers, semaphore
from executions.engine import permits
from executions.models import Execution, Status
from executions.semaphore import Decision, PermitsLost, Request

logger = logging.getLogger(__name__)

BATCH = 25

# One dispatcher at a time walks an organization's queue (see `locks.admit`); the rows that it
# skips are being moved by someone else.
_CANDIDATES = """
SELECT e.id, e.epoch, e.kind, e.worker_queue, e.blocked_by,
       e.organization_id, e.board_id, e.agent_id,
       o.max_concurrent, b.max_concurrent, a.max_concurrency
FROM executions_execution AS e
JOIN agents_organization AS o ON o.id = e.organization_id
LEFT JOIN boards_board AS b ON b.id = e.board_id
LEFT JOIN agents_agent AS a ON a.id = e.agent_id
WHERE e.organization_id = %(organization)s AND e.status = 'queued' AND e.admitted_epoch IS NULL
  AND (b.id IS NULL OR NOT (b.is_paused OR b.id = ANY(%(full_boards)s)))
  AND (a.id IS NULL OR NOT (a.is_paused OR a.id = ANY(%(full_agents)s)))
ORDER BY e.rank, e.id
LIMIT %(batch)s
FOR NO KEY UPDATE OF e SKIP LOCKED
"""
_ADMIT = """
UPDATE executions_execution SET
  admitted_epoch = epoch, admitted_at = clock_timestamp(), sent_at = clock_timestamp(),
  blocked_by = ''
WHERE id = ANY(%(granted)s)
RETURNING id
"""
_ANY_QUEUED = """
SELECT FROM executions_execution
WHERE organization_id = %(organization)s AND status = 'queued' AND admitted_epoch IS NULL
LIMIT 1
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a walk needs of a queued execution: of its wide row little, and its scopes' limits."""

    id: UUID
    epoch: int
    kind: str
    worker_queue: str
    blocked_by: str
    organization_id: UUID
    board_id: UUID | None
    agent_id: UUID | None
    organization_limit: int | None
    board_limit: int | None
    agent_limit: int | None

    @property
    def request(self) -> Request:
        """Its wish for a permit."""
        limits = (self.organization_limit, self.board_limit, self.agent_limit)
        ids = (self.organization_id, self.board_id, self.agent_id)
        return Request(f"{self.id}:{self.epoch}", permits.scopes(ids, limits))


def dispatch(organization_id: UUID) -> int:
    """Admit what fits of an organization's queue and send it; returns how many were admitted.

    Never raises for Redis being away, nor for another dispatcher that waits for it: the rows stay
    queued, and the sweep comes back to them.
    """
    try:
        return _walk_rebuilding(organization_id)
    except locks.Busy:
        logger.info("The queue of %s is walked by somebody else.", organization_id)
        return 0
    except redis.RedisError as error:
        note_silence(error)
        logger.warning("Nothing is admitted while Redis is away: %s", error)
        return 0
    except PermitsLost as error:
        logger.warning("Nothing is admitted while Redis is away: %s", error)
        return 0


def _walk_rebuilding(organization_id: UUID) -> int:
    try:
        return _walk(organization_id)
    except PermitsLost:
        if held := permits.rebuild():
            logger.warning("Redis is another or was flushed: %s permits were rebuilt.", held)
        return _walk(organization_id)


def _walk(organization_id: UUID) -> int:
    """Admit batch by batch, looking past agents and boards that are at their limit.

    It ends: a full batch admits something, or finds one more agent or board to look past.
    """
    admitted, blocked = 0, _Blocked()
    boards: set[UUID] = set()
    while True:
        batch = _admit_batch(organization_id, blocked)
        admitted += len(batch.sent)
        for execution in batch.sent:
            send(execution)
            boards |= {execution.board_id} if execution.board_id else set()
        if not batch.is_full or blocked.everything:
            break
    # Once a walk, whatever it admitted: their lines have moved up.
    capacity.tell_of_places(boards)
    return admitted


class _Blocked:
    """The scopes that were found full during one walk."""

    def __init__(self) -> None:
        self.everything = False
        self.boards: set[UUID] = set()
        self.agents: set[UUID] = set()

    def note(self, execution: Candidate, scope: str) -> None:
        if scope == "organization":
            self.everything = True
        elif scope == "board" and execution.board_id is not None:
            self.boards.add(execution.board_id)
        elif execution.agent_id is not None:
            self.agents.add(execution.agent_id)


class _Batch:
    def __init__(self, sent: list[Candidate], *, is_full: bool) -> None:
        self.sent = sent
        self.is_full = is_full


def _admit_batch(organization_id: UUID, blocked: _Blocked) -> _Batch:
    with transaction.atomic():
        locks.admit(organization_id)
        candidates = _candidates(organization_id, blocked)
        decisions = semaphore.acquire([candidate.request for candidate in candidates])
        granted = _note(candidates, decisions, blocked)
    return _Batch(granted, is_full=len(candidates) == BATCH)


def _candidates(organization_id: UUID, blocked: _Blocked) -> list[Candidate]:
    looked_for = {
        "organization": organization_id,
        "full_boards": list(blocked.boards),
        "full_agents": list(blocked.agents),
        "batch": BATCH,
    }
    return [Candidate(*row) for row in prepared.rows(_CANDIDATES, looked_for)]


def _note(
    candidates: Sequence[Candidate], decisions: Sequence[Decision], blocked: _Blocked
) -> list[Candidate]:
    """Write down who was admitted and what blocks the others; returns the admitted."""
    granted = []
    for execution, decision in zip(candidates, decisions, strict=True):
        if decision.is_granted:
            granted.append(execution)
            continue
        blocked.note(execution, decision.scope)
        if execution.blocked_by != decision.scope:
            Execution.objects.filter(pk=execution.id).update(blocked_by=decision.scope)
    if granted:
        prepared.rows(_ADMIT, {"granted": [candidate.id for candidate in granted]})
    return granted


def send(execution: Execution | Candidate) -> None:
    """Send the hint that wakes a worker; a failure is logged, and the sweep sends again.

    Workers outside poll for what is remote: they are called, and look by themselves besides.
    """
    if is_remote(execution.kind):
        pollers.call(execution.organization_id, execution.kind, execution.worker_queue)
        return
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
    transaction.on_commit(partial(_dispatch_unless_silent, organization_id), robust=True)


def dispatch_next_on_commit(organization_id: UUID) -> None:
    """The same after a permit was given back, for which mostly nobody waits."""
    transaction.on_commit(partial(_dispatch_next, organization_id), robust=True)


def _dispatch_unless_silent(organization_id: UUID) -> None:
    # Who has just waited for Redis in vain, to publish a hint, leaves the queue to the sweep.
    if not is_silent():
        dispatch(organization_id)


def _dispatch_next(organization_id: UUID) -> None:
    # Who queues a row after this look dispatches it after its own commit, so the queue's lock is
    # for those who find something.
    if prepared.rows(_ANY_QUEUED, {"organization": organization_id}):
        _dispatch_unless_silent(organization_id)
