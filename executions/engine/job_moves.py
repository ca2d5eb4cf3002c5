"""The moves of a job: each one guarded statement, with its event in its execution's stream.

The statement holds the execution's row before it touches the job's, which is the order of locks
everywhere. What it looks at is only in those two rows, and PostgreSQL looks at the newest version
of a row that it had to wait for. Zero rows: the job has moved on, and nothing was written.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

from django.conf import settings
from django.db import transaction
from psycopg.types.json import Jsonb
from uuid_utils.compat import uuid7

from agents import prepared
from agents.runtime.job_retries import Failure
from agents.runtime.redaction import Redactor
from executions import secrets
from executions.engine import jobs, waits
from executions.models import JOB_TERMINAL, TERMINAL, Condition, Job, JobStatus, Status
from executions.stream import publish

# Of an execution that ends so, no job begins any more.
FALLEN = (Status.CANCELLING, *jobs.BROKEN)
NO_DELAY = timedelta(0)

_MOVE = """
WITH held AS (
  SELECT id, status FROM executions_execution
  WHERE id = (SELECT execution_id FROM executions_job WHERE id = %(id)s)
  FOR NO KEY UPDATE
), moved AS (
  UPDATE executions_job AS j SET epoch = j.epoch + 1, {changes}
  FROM held WHERE j.id = %(id)s AND j.epoch = %(epoch)s AND {guard}
  RETURNING j.*
), numbered AS (
  UPDATE executions_execution AS e SET event_seq = e.event_seq + 1
  FROM moved
  WHERE e.id = moved.execution_id AND %(event)s::text IS NOT NULL
    AND e.status <> ALL(%(terminal)s)
  RETURNING e.id, e.event_seq
), event AS (
  INSERT INTO executions_event (id, execution_id, seq, type, data, created_at)
  SELECT %(event_id)s, numbered.id, numbered.event_seq, %(event)s::text,
         jsonb_build_object('job', moved.id, 'kind', moved.kind, 'key', moved.key,
                            'attempt', moved.attempt) || %(facts)s,
         clock_timestamp()
  FROM numbered, moved
)
SELECT {answer}, coalesce((SELECT event_seq FROM numbered), 0) AS told_seq FROM moved
"""
_TAKE = _MOVE.format(
    changes="""
    status = 'running', claim_id = %(claim)s, worker = %(worker)s, attempt = j.attempt + 1,
    lease_expires_at = clock_timestamp() + %(lease)s,
    started_at = coalesce(j.started_at, clock_timestamp())
    """,
    guard="""
    j.status = 'queued' AND j.due_at <= clock_timestamp() AND j.kind = ANY(%(kinds)s)
    AND held.status <> ALL(%(fallen)s)
    """,
    answer="""
    moved.*, (SELECT coalesce(e.spec -> 'environment', '{}')::text
              FROM executions_execution AS e WHERE e.id = moved.execution_id) AS environment
    """,
)
_LEAVE = _MOVE.format(
    changes="""
    status = %(to)s, claim_id = NULL, lease_expires_at = NULL, output = %(output)s,
    failure_code = %(code)s, failure_message = %(message)s,
    attempt = j.attempt - %(unspent)s, recoveries = j.recoveries + %(recovered)s,
    due_at = CASE WHEN %(is_end)s THEN j.due_at ELSE clock_timestamp() + %(delay)s END,
    sent_at = CASE WHEN %(is_sent)s THEN clock_timestamp() END,
    finished_at = CASE WHEN %(is_end)s THEN clock_timestamp() END
    """,
    guard="""
    j.status = %(from)s AND j.claim_id IS NOT DISTINCT FROM %(claim)s::uuid
    AND (j.cancel_requested_at IS NOT NULL) = %(is_cancelled)s
    AND (NOT %(is_lost)s OR j.lease_expires_at < clock_timestamp())
    """,
    answer="moved.epoch",
)


@dataclass(frozen=True, slots=True)
class JobClaim:
    """What fences a try's end, and the row as it was when it was claimed."""

    job: Job
    claim_id: UUID
    redactor: Redactor

    @property
    def id(self) -> UUID:
        return self.job.id


@dataclass(frozen=True, slots=True)
class Leave:
    """Where a job goes. `delay` is until it is due again; at once, its message is sent again.

    A try that is given back is `unspent`, and one whose worker was lost is `recovered`: neither
    counts against the retries.
    """

    to: JobStatus
    output: Any = None
    failure: Failure | None = None
    delay: timedelta = NO_DELAY
    unspent: int = 0
    recovered: int = 0

    def without_secrets(self, redactor: Redactor) -> Leave:
        """The same as it may be shown."""
        failure = self.failure
        if failure is not None:
            failure = replace(failure, message=redactor.fragment(failure.message, ends_cut=True))
        return replace(self, output=redactor.json(self.output), failure=failure)

    @property
    def is_end(self) -> bool:
        return self.to in JOB_TERMINAL

    @property
    def is_sent(self) -> bool:
        """Whether it is due at once."""
        return not self.is_end and self.delay == NO_DELAY

    @property
    def facts(self) -> dict[str, Any]:
        """What its event says beside whose it is."""
        failed = self.failure if self.to is JobStatus.FAILED else None
        return {"code": failed.code, "message": failed.message} if failed else {}


CANCELLED = Leave(JobStatus.CANCELLED)


def take(job_id: UUID, epoch: int, worker: str, *, kinds: list[str]) -> JobClaim | None:
    """Claim a queued job that is due at exactly this epoch; None when there is no such one.

    None means that the message was a duplicate, that the job has moved on or its execution has
    failed or is cancelled, or that this process has not its kind.
    """
    claim_id = uuid4()
    asked = {
        "claim": claim_id,
        "worker": worker,
        "lease": settings.EXECUTION_LEASE,
        "kinds": kinds,
        "fallen": [str(status) for status in FALLEN],
    }
    rows = Job.objects.raw(_TAKE, _common(job_id, epoch, "job.started", {}) | asked)
    job = next(iter(rows), None)
    if job is None:
        return None
    _tell_watchers(job.execution_id, job.told_seq)  # type: ignore[attr-defined]  # A column of _TAKE.
    environment = json.loads(job.environment)  # type: ignore[attr-defined]  # Likewise.
    return JobClaim(job, claim_id, secrets.redactor(environment))


def leave(job: Job, move: Leave, *, is_cancelled: bool = False, is_lost: bool = False) -> bool:
    """Move the job out of the state, epoch and claim of this row; whether it moved.

    Only where its cancel has been requested, or has not, as `is_cancelled` says; and `is_lost`,
    only where its lease has run out. Watchers and the execution that waits for it are told after
    the commit.
    """
    event = f"job.{move.to}" if move.is_end else None
    failure = move.failure or Failure("", "")
    asked = {
        "from": str(job.status),
        "claim": job.claim_id,
        "is_cancelled": is_cancelled,
        "is_lost": is_lost,
        "to": str(move.to),
        "output": None if move.output is None else Jsonb(move.output),
        "code": failure.code,
        "message": failure.message,
        "delay": move.delay,
        "unspent": move.unspent,
        "recovered": move.recovered,
        "is_end": move.is_end,
        "is_sent": move.is_sent,
    }
    row = prepared.first(_LEAVE, _common(job.id, job.epoch, event, move.facts) | asked)
    if row is None:
        return False
    epoch, told_seq = row
    _tell_watchers(job.execution_id, told_seq)
    _follow(job, move, epoch)
    return True


def _common(job_id: UUID, epoch: int, event: str | None, facts: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": job_id,
        "epoch": epoch,
        "event": event,
        "event_id": uuid7(),
        "facts": Jsonb(facts),
        "terminal": [str(status) for status in TERMINAL],
    }


def _tell_watchers(execution_id: UUID, seq: int) -> None:
    if seq:
        transaction.on_commit(partial(publish, execution_id, seq), robust=True)


def _follow(job: Job, move: Leave, epoch: int) -> None:
    """What comes after the commit; should it not, the sweep does it."""
    if move.is_sent:
        transaction.on_commit(partial(jobs.send, job, epoch=epoch), robust=True)
    if move.is_end:
        waits.tell_on_commit(job.execution_id, Condition.Kind.JOB, job.id)
