"""One execution that a worker outside has claimed, its row held while the worker writes.

A claim is named by (execution, epoch). Each claim moves the epoch on, and so does every way to
leave it, so that no two claims ever share one; the row then tells `claim_id`, and every statement
below carries the whole fence.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.http import Http404

from agents import prepared
from agents.clock import clock
from agents.models import Organization
from agents.remote import of_remote_kind
from agents.runtime.limits import Spent
from executions import limits, lines, signals
from executions.engine import claim as claims
from executions.engine import warnings
from executions.engine.claim import Batch, Claim
from executions.errors import ExecutionState
from executions.models import Execution, Signal, Status
from executions.remote.errors import ClaimGone
from executions.stream import publish, publish_on_commit

_CLAIMED = (Status.RUNNING, Status.CANCELLING)
# Pollers side by side take different rows, and none waits for another.
_NEXT = """
SELECT id, epoch, kind, kind_version FROM executions_execution
WHERE organization_id = %(organization)s AND status = 'queued' AND admitted_epoch IS NOT NULL
  AND kind = ANY(%(kinds)s) AND worker_queue = %(queue)s
ORDER BY rank, id
LIMIT 1
FOR NO KEY UPDATE SKIP LOCKED
"""


class RemoteRun:
    """What a worker's writes go through; the caller's transaction holds the row."""

    def __init__(self, execution: Execution) -> None:
        assert execution.claim_id is not None, "the row was found by its claim"
        self.execution = execution
        self.claim = Claim(execution, execution.claim_id, execution.epoch)

    @property
    def id(self) -> UUID:
        return self.execution.id

    @property
    def is_cancelling(self) -> bool:
        return self.execution.status == Status.CANCELLING

    def require_running(self) -> None:
        """Refuse new work for a run that is to end. Raises `ExecutionState`."""
        if self.is_cancelling:
            raise ExecutionState(
                "The execution is to be cancelled; end it.",
                execution_status=str(self.execution.status),
                allowed=[str(Status.RUNNING)],
            )

    @property
    def leaf(self) -> UUID | None:
        """The last entry of the line."""
        return lines.leaf(self.execution)

    def batch(self) -> Batch:
        """What a commit begins with: the usage, with the time since the lease was renewed last."""
        return Batch(usage=self.usage)

    def commit(self, batch: Batch) -> None:
        """Write the batch, with what the run is to be warned of; it renews the lease."""
        if not self.is_cancelling:
            self._warn(batch)
        asked = claims.commit(self.claim, batch, while_cancelling=True)
        self.execution.refresh_from_db(fields=["lease_expires_at", "turn", "usage"])
        transaction.on_commit(partial(publish, self.id, asked.event_seq), robust=True)

    def _warn(self, batch: Batch) -> None:
        """The row is held: nobody else says it, and its limits are those that hold."""
        row, usage = self.execution, dict(batch.usage or self.usage)
        turn = row.turn if batch.turn is None else batch.turn
        warnings.tell(batch, usage, limits.spent(turn, usage, limits.limits_of(row)))
        batch.usage = usage

    @property
    def usage(self) -> dict[str, Any]:
        """What was used up to now. Time of work is what passes between two calls of a claim."""
        row, usage = self.execution, dict(self.execution.usage)
        assert row.lease_expires_at is not None
        since = clock() - (row.lease_expires_at - settings.EXECUTION_LEASE)
        usage["seconds"] = round(
            usage.get("seconds", 0.0) + max(since, timedelta()).total_seconds(), 3
        )
        return usage

    @property
    def spent(self) -> Spent:
        row = self.execution
        return limits.spent(row.turn, self.usage, limits.limits_of(row))

    # --- signals

    def reserve(self, pattern: str, most: int) -> list[Signal]:
        """Take signals in hand, in order; what this claim has in hand is not given again.

        The next commit consumes them. Those that a claim had which is gone are anybody's.
        """
        pending = signals.pending(self.id, pattern)
        found = list(pending.exclude(reserved_by=self.claim.claim_id)[:most])
        rows = Signal.objects.filter(pk__in=[signal.pk for signal in found])
        rows.update(reserved_by=self.claim.claim_id)
        return found

    def consume(self, batch: Batch, *, by_key: str) -> None:
        """Consume what this claim has in hand, in the commit of the batch."""
        mine = Signal.objects.filter(
            execution=self.id, consumed_at=None, reserved_by=self.claim.claim_id
        )
        found = list(mine.order_by("number"))
        signals.mark_consumed(found, by_key=by_key)
        batch.consumed = len(found)
        for signal in found:
            batch.event("signal.consumed", name=signal.name, number=signal.number, key=by_key)

    def put_back(self) -> None:
        """Give back what it has in hand: nothing was written down that came of it."""
        mine = Signal.objects.filter(execution=self.id, reserved_by=self.claim.claim_id)
        mine.filter(consumed_at=None).update(reserved_by=None)


def take_next(
    organization: Organization, *, kinds: list[str], queue: str, worker: str
) -> Execution | None:
    """Claim the first execution in the queue's order of these kinds, if there is one.

    Admission is that of every execution: only what has its permit is found.
    """
    wanted = {"organization": organization.id, "kinds": kinds, "queue": queue}
    with transaction.atomic():
        row = prepared.first(_NEXT, wanted)
        if row is None:
            return None
        execution_id, epoch, *kind = row
        claim = claims.take(execution_id, epoch, worker, kinds=[(kind[0], kind[1])])
        assert claim is not None, "the row is held"
        publish_on_commit(claim.execution)
    return claim.execution


def held(organization: Organization, execution_id: UUID, epoch: int) -> RemoteRun:
    """The claim of this epoch, its row held until the caller's transaction ends.

    Raises `Http404` for no remote execution of the organization, `ClaimGone`.
    """
    rows = _rows(organization).select_for_update(no_key=True, of=("self",))
    return RemoteRun(_at(epoch, rows.filter(pk=execution_id).first()))


def seen(organization: Organization, execution_id: UUID, epoch: int) -> Execution:
    """The same for a look, which holds nothing."""
    return _at(epoch, _rows(organization).filter(pk=execution_id).first())


def _rows(organization: Organization) -> Any:
    rows = Execution.objects.filter(of_remote_kind(), organization=organization)
    return rows.select_related("agent").defer("output", "diff")


def _at(epoch: int, execution: Execution | None) -> Execution:
    if execution is None:
        raise Http404
    if execution.epoch != epoch or execution.status not in _CLAIMED:
        raise ClaimGone(execution_status=str(execution.status))
    return execution
