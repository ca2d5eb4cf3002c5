"""The sweep: finds what fell and puts it back on its way.

Any number may run at once: rows are taken in batches with `SKIP LOCKED`, and every step is a
guarded move. Each returns how many rows it found.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import redis
from django.conf import settings
from django.db import transaction
from django.db.models import F, Q, QuerySet

from agents import deliveries, liveness, outbox
from agents.activity import SYSTEM
from agents.clock import ClockTimestamp
from agents.redis import client
from agents.remote import of_remote_kind
from agents.rest import idempotency
from boards.actions import occurrences, payloads
from executions import actions, auto_start, interviews, states, worktrees
from executions.engine import children, conditions, decisions, ends, job_sweep, permits, waits
from executions.engine.dispatch import dispatch, send
from executions.models import LIVE, Condition, Execution, PauseReason, Status, Worker
from executions.review import hand_in, merges

logger = logging.getLogger(__name__)

BATCH = 100
RECONCILE_EVERY = timedelta(minutes=1)
TIDY_EVERY = timedelta(hours=1)


def sweep() -> dict[str, int]:
    """Run every chore once; returns what each one found, by its name."""
    found = {chore.__name__.lstrip("_"): _carry_out(chore) for chore in _CHORES}
    if any(found.values()):
        logger.info("Sweep: %s", {name: count for name, count in found.items() if count})
    return found


def _carry_out(chore: Callable[[], int]) -> int:
    """What the chore found; one that fails stops no other, and is done again by the next sweep."""
    try:
        return chore()
    except redis.RedisError as error:
        logger.warning("%s is done later, Redis is away: %s", chore.__name__, error)
    except Exception:
        logger.exception("The chore %s failed.", chore.__name__)
    return 0


def _recover_lost() -> int:
    """Executions whose lease ran out go back to the queue, or end."""
    return _each(
        Execution.objects.filter(
            status__in=[Status.RUNNING, Status.CANCELLING], lease_expires_at__lt=ClockTimestamp()
        ),
        _recover,
    )


def _recover(execution: Execution) -> None:
    member, guard = execution.permit, {"epoch": execution.epoch}
    if execution.status == Status.CANCELLING:
        event, moved = "execution.cancelled", _move(execution, Status.CANCELLED, guard)
    elif execution.recoveries >= settings.EXECUTION_MAX_RECOVERIES:
        event, moved = "execution.failed", _lose(execution, guard)
    elif execution.pause_requested_at is not None:
        event = "execution.paused"
        moved = _move(execution, Status.PAUSED, guard, pause_reason="operator")
    else:
        event = "execution.recovered"
        moved = _move(execution, Status.QUEUED, guard, event=event, recoveries=F("recoveries") + 1)
    if moved:
        ends.announce(execution, member, event, dispatches=False)


def _move(
    execution: Execution, to: Status, guard: dict[str, Any], *, event: str = "", **fields: Any
) -> bool:
    return states.move(
        execution,
        to,
        frm=[Status(execution.status)],
        event=event or f"execution.{to}",
        facts={"reason": "lease lost", "worker": execution.worker},
        guard=guard,
        **fields,
    )


def _lose(execution: Execution, guard: dict[str, Any]) -> bool:
    return _move(
        execution,
        Status.FAILED,
        guard,
        failure_code="WORKER_LOST",
        failure_message=f"Its worker was lost {execution.recoveries + 1} times.",
    )


def _fire_timers() -> int:
    """Waiting executions whose timer is due go back to the queue, at their place."""
    due = Condition.objects.filter(due_at__lte=ClockTimestamp()).values("execution_id")
    return _each(Execution.objects.filter(status=Status.WAITING, pk__in=due), _fire)


def _fire(execution: Execution) -> None:
    conditions.mark(execution.id)
    waits.wake(execution, reason="timer", dispatches=False)


def _tell_untold() -> int:
    """Waiting executions for which something came about whose process did not live to say so."""
    found = Execution.objects.filter(status=Status.WAITING, pk__in=conditions.untold(BATCH))
    return _each(found, _tell)


def _tell(execution: Execution) -> None:
    conditions.mark(execution.id)
    waits.wake(execution, reason="sweep", dispatches=False)


def _tell_parents() -> int:
    """Children that have ended and whose parents were not told."""
    ended = Execution.objects.filter(
        parent__isnull=False, told_parent_at=None, finished_at__isnull=False
    )
    found = list(ended.order_by("finished_at").defer("spec", "output", "diff")[:BATCH])
    for child in found:
        children.tell_parent(child)
    return len(found)


def _cancel_orphans() -> int:
    """Children that are live though their parent has failed or was cancelled."""
    orphans = Execution.objects.filter(parent__status__in=children.BROKEN, status__in=LIVE).exclude(
        status=Status.CANCELLING
    )
    found = list(orphans.only("id")[:BATCH])
    for child in found:
        children.cancel_orphan(child)
    return len(found)


def _resume_with_agent() -> int:
    """Executions that were paused because their agent was, once it is not any more."""
    paused = Execution.objects.filter(status=Status.PAUSED, pause_reason=PauseReason.AGENT)
    return _each(paused.exclude(agent__is_paused=True), _resume)


def _resume(execution: Execution) -> None:
    actions.resume(execution, by=SYSTEM)


def _end_overdue() -> int:
    """Deadlines that pass while no worker watches them; one outside is not asked to."""
    unwatched = Q(status__in=[Status.QUEUED, Status.WAITING])
    outside = Q(status=Status.RUNNING) & of_remote_kind()
    overdue = Execution.objects.filter(deadline_at__lt=ClockTimestamp())
    return _each(overdue.filter(unwatched), _time_out) + _each(overdue.filter(outside), _time_out)


def _time_out(execution: Execution) -> None:
    member = execution.permit
    if states.move(
        execution,
        Status.FAILED,
        frm=[Status(execution.status)],
        event="execution.failed",
        facts={"code": "TIMED_OUT"},
        failure_code="TIMED_OUT",
        failure_message="Its deadline passed.",
    ):
        ends.announce(execution, member, "execution.failed", dispatches=False)


def _send_again() -> int:
    """Admitted executions that no worker claimed, as far as their messages are really gone.

    A message that still lies in the queue is not lost: sending again for a backlog would flood it.
    """
    late = _unclaimed().filter(sent_at__lt=ClockTimestamp() - settings.EXECUTION_RESEND_AFTER)
    queues = late.order_by().values_list("worker_queue", flat=True).distinct()
    return sum(_send_missing(late.filter(worker_queue=queue), queue) for queue in queues)


def _unclaimed() -> QuerySet[Execution]:
    """Admitted executions that a message waits for; whoever polls needs none."""
    admitted = Execution.objects.filter(status=Status.QUEUED, admitted_epoch__isnull=False)
    return admitted.exclude(of_remote_kind())


def _send_missing(late: QuerySet[Execution], queue: str) -> int:
    unclaimed = _unclaimed().filter(worker_queue=queue)
    missing = min(late.count(), unclaimed.count() - _backlog(queue))
    if missing <= 0:
        return 0
    with transaction.atomic():
        rows = list(
            late.order_by("sent_at").select_for_update(skip_locked=True, no_key=True)[
                : min(missing, BATCH)
            ]
        )
        Execution.objects.filter(pk__in=[row.pk for row in rows]).update(sent_at=ClockTimestamp())
    for row in rows:
        send(row)
    return len(rows)


def _backlog(queue: str) -> int:
    try:
        return int(client().llen(queue))
    except redis.RedisError:
        return BATCH


def _dispatch_queued() -> int:
    """Free slots that nobody was told of."""
    organizations = (
        Execution.objects.filter(status=Status.QUEUED, admitted_epoch=None)
        .order_by()  # Ordered by id, each row would be distinct.
        .values_list("organization_id", flat=True)
        .distinct()
    )
    return sum(dispatch(organization) for organization in organizations)


def _reconcile() -> int:
    """Each minute, somewhere: the sets of Redis are made from the rows again."""
    if _is_turn("reconcile", RECONCILE_EVERY):
        permits.rebuild()
    return 0


def _tidy_up() -> int:
    """Each hour, on every host: worktrees, answers and other rows that nobody needs any more."""
    if not _is_turn(f"tidy:{socket.gethostname()}", TIDY_EVERY):
        return 0
    answers = idempotency.prune_expired()
    told = deliveries.prune() + payloads.prune() + occurrences.prune()
    return worktrees.prune() + answers + told


def _is_turn(chore: str, every: timedelta) -> bool:
    """Whether it is this process that does a rare chore now; without Redis nobody does."""
    try:
        return bool(client().set(f"{{signalbox}}:chore:{chore}", "1", nx=True, ex=every))
    except redis.RedisError as error:
        logger.debug("The chore %s is done later: %s", chore, error)
        return False


def _forget_workers() -> int:
    """Workers that gave no sign for an hour."""
    gone = Worker.objects.filter(seen_at__lt=ClockTimestamp() - timedelta(hours=1))
    return gone.delete()[0]


# What the first ones free or queue is dispatched by `_dispatch_queued`, once an organization.
_CHORES: tuple[Callable[[], int], ...] = (
    _recover_lost,
    _fire_timers,
    _tell_parents,
    _tell_untold,
    _cancel_orphans,
    _resume_with_agent,
    _end_overdue,
    _reconcile,
    _dispatch_queued,
    _send_again,
    job_sweep.recover_lost_jobs,
    job_sweep.cancel_jobs_of_ended,
    job_sweep.send_due_jobs,
    decisions.withdraw_left,
    hand_in.hand_in_left,
    merges.send_merges_again,
    auto_start.start_idle,
    payloads.start_waiting,
    liveness.note_offline,
    occurrences.nudge_due,
    liveness.note_silent,
    outbox.call_if_due,
    interviews.begin_left,
    deliveries.hint_due,
    _forget_workers,
    _tidy_up,
)


def _each(rows: QuerySet[Execution], step: Callable[[Execution], None]) -> int:
    """Take each row in a transaction of its own, so that one bad row stops no other."""
    taken = 0
    for key in list(rows.values_list("pk", flat=True)[:BATCH]):
        try:
            with transaction.atomic():
                locked = rows.filter(pk=key).select_for_update(
                    skip_locked=True, of=("self",), no_key=True
                )
                execution = locked.first()
                if execution is not None:
                    step(execution)
                    taken += 1
        except Exception:
            logger.exception("The sweep could not put execution %s on its way.", key)
    return taken
