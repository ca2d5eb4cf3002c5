"""Jobs as their execution sees them: scheduled in its transaction, cancelled with its end."""

from __future__ import annotations

import logging
from functools import partial
from typing import Any
from uuid import UUID

import kombu.exceptions
import redis
from celery import current_app
from django.db import transaction
from django.db.models import F, Q
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from agents.clock import ClockTimestamp
from agents.redis import is_silent, note_silence
from agents.runtime import jobs as registry
from agents.runtime.json_values import NotStorable, storable
from executions.engine.ends import after_an_end
from executions.engine.toolcalls import digest
from executions.errors import JobInvalid, JobKindUnknown, JobMismatch
from executions.models import Execution, Job, JobStatus, Status
from executions.stream import call_to_look

logger = logging.getLogger(__name__)

# An execution that ends so takes its jobs with it; one that is completed lets them go on.
BROKEN = (Status.FAILED, Status.CANCELLED)
_LONGEST_KEY = 200
_SCHEDULE = """
INSERT INTO executions_job
  (id, execution_id, key, kind, input, digest, max_retries, timeout_seconds, worker_queue,
   status, epoch, worker, attempt, recoveries, failure_code, failure_message,
   due_at, sent_at, created_at)
VALUES (%(id)s, %(execution)s, %(key)s, %(kind)s, %(input)s, %(digest)s, %(max_retries)s,
   %(timeout)s, %(worker_queue)s, 'queued', 0, '', 0, 0, '', '',
   clock_timestamp(), clock_timestamp(), clock_timestamp())
ON CONFLICT (execution_id, key) DO NOTHING
RETURNING *
"""


def schedule(
    execution: Execution,
    *,
    key: str,
    kind: str,
    input: Any = None,  # noqa: A002  The row's own word for it.
    **terms: Any,
) -> Job:
    """Put a job of this execution into its queue, once for each key; the same job the next time.

    Within the transaction of a guarded commit, which holds the execution's row: so no claim that
    is gone schedules anything, and the job is there exactly when its event `job.scheduled` (with
    `facts_of`) is. `terms` change those of the kind (`max_retries`, `timeout`, `worker_queue`).
    Raises `JobKindUnknown`, `JobInvalid` for an input that is no JSON or a term that cannot be,
    and `JobMismatch` where the key stands for another kind or input.
    """
    kept = _kept(key, input)
    agreed = _agreed(kind, terms)
    rows = Job.objects.raw(
        _SCHEDULE,
        {
            "id": uuid7(),
            "execution": execution.id,
            "key": key,
            "kind": kind,
            "input": None if kept is None else Jsonb(kept),
            "digest": digest(kept),
            "max_retries": agreed.max_retries,
            "timeout": agreed.timeout,
            "worker_queue": agreed.worker_queue,
        },
    )
    if new := next(iter(rows), None):
        transaction.on_commit(partial(send, new), robust=True)
        return new
    return _same(Job.objects.get(execution_id=execution.id, key=key), kind, digest(kept))


def facts_of(job: Job) -> dict[str, Any]:
    """What every event of a job says of it."""
    return {"job": str(job.id), "kind": job.kind, "key": job.key}


@after_an_end
def cancel_what_is_left(execution: Execution) -> None:
    """Cancel the jobs of an execution that failed or was cancelled."""
    if execution.status in BROKEN:
        cancel_jobs_of(execution.id)


@transaction.atomic
def cancel_jobs_of(execution_id: UUID) -> int:
    """Cancel what an execution that failed or was cancelled has left; returns how many jobs.

    Queued ones at once, running ones by asking their code. No events: none follows the end of an
    execution. Locked in order first: several may do this at once, and no job moves meanwhile.
    """
    live = Job.objects.filter(
        Q(status=JobStatus.QUEUED) | Q(status=JobStatus.RUNNING, cancel_requested_at=None),
        execution_id=execution_id,
    )
    locked = live.order_by("pk").select_for_update(no_key=True).values_list("pk", flat=True)
    left = Job.objects.filter(pk__in=list(locked))
    ended = left.filter(status=JobStatus.QUEUED).update(
        status=JobStatus.CANCELLED, epoch=F("epoch") + 1, finished_at=ClockTimestamp()
    )
    asked = left.filter(status=JobStatus.RUNNING).update(cancel_requested_at=ClockTimestamp())
    if asked:
        transaction.on_commit(partial(call_to_look, execution_id), robust=True)
    return ended + asked


def send(job: Job, *, epoch: int | None = None) -> None:
    """Send the hint that wakes a worker; a failure is logged, and the sweep sends again.

    `epoch` is the job's, where the row in hand is that of before a move.
    """
    if is_silent():
        return
    epoch = job.epoch if epoch is None else epoch
    try:
        current_app.send_task(
            "executions.tasks.run_job",
            args=(str(job.id), epoch),
            # Celery keeps one result a try, however often its message comes.
            task_id=f"{job.id}:{epoch}",
            queue=job.worker_queue,
            retry=False,
            ignore_result=False,
        )
    except (kombu.exceptions.OperationalError, redis.RedisError, OSError) as error:
        cause = error.__cause__ or error
        if isinstance(cause, redis.RedisError):
            note_silence(cause)
        logger.warning("The hint for job %s is sent again later: %s", job.id, error)


def send_back(job_id: UUID, epoch: int) -> None:
    """Hand a message on that this worker will not take, because it is stopping."""
    for job in Job.objects.filter(pk=job_id, epoch=epoch, status=JobStatus.QUEUED):
        send(job)


def _kept(key: str, value: Any) -> Any:
    """The input as it is kept."""
    if not (key.strip() and key.isprintable() and len(key) <= _LONGEST_KEY):
        raise JobInvalid(f"The key of a job has 1 to {_LONGEST_KEY} printable characters.")
    try:
        return storable(value)
    except NotStorable as error:
        raise JobInvalid(f"The input of job {key!r} cannot be kept. {error}") from error


def _agreed(kind: str, terms: dict[str, Any]) -> registry.Terms:
    try:
        return registry.find(kind).terms.but(**terms)
    except registry.JobUnknown as error:
        known = sorted(known.name for known in registry.registered())
        raise JobKindUnknown(str(error), known=known) from error
    except ValueError as error:
        raise JobInvalid(str(error)) from error


def _same(job: Job, kind: str, input_digest: str) -> Job:
    if (job.kind, job.digest) != (kind, input_digest):
        raise JobMismatch(job=str(job.id), key=job.key)
    return job
