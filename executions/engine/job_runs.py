"""One try of a job, read from top to bottom: claim, call its function, settle.

The function works in a thread of its own, without a connection of ours and under a lease that the
process's keeper renews. A thread cannot be killed: when its time is over, its lease is lost or its
worker stops, the try is given up and the job goes its way, while the thread may go on to its end.
Its job says so to code that asks (`is_cancelled`); whatever it still does to the world is done, and
what it returns is not kept. So a job that is tried again after a timeout may work twice at once.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from concurrent.futures import CancelledError, Future, InvalidStateError
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import DataError, InterfaceError, OperationalError, connection, connections

from agents.runtime import jobs as registry
from agents.runtime.job_retries import Failure, delay_before_next, failure_of, timed_out
from agents.runtime.jobs import JobCancelled
from agents.runtime.json_values import NotStorable, storable
from agents.runtime.redaction import in_logs
from executions.engine import job_moves, jobs
from executions.engine.control import Control, Interrupted, Reason
from executions.engine.job_moves import CANCELLED, JobClaim, Leave
from executions.models import JobStatus
from executions.stream import publish_piece

logger = logging.getLogger(__name__)

# Between two attempts to keep an end while PostgreSQL is away and the lease still holds.
_PAUSE_SECONDS = 0.5


class Try:
    """What a job's function is told of itself (`agents.runtime.jobs.CurrentJob`)."""

    def __init__(self, claim: JobClaim, control: Control) -> None:
        self.id, self.key = claim.job.id, claim.job.key
        self.execution_id, self.attempt = claim.job.execution_id, claim.job.attempt
        self._control, self._redactor = control, claim.redactor

    def is_cancelled(self) -> bool:
        return self._control.is_cancelling or self._control.stop.is_set()

    def check_cancelled(self) -> None:
        if self.is_cancelled():
            raise JobCancelled

    def progress(self, text: str) -> None:
        told = {"text": self._redactor.text(str(text)), "job": str(self.id), "key": self.key}
        publish_piece(self.execution_id, "progress", told, 0)


def run(job_id: UUID, epoch: int, worker: Any) -> Leave | None:
    """Try a job, if this message still speaks of it; `worker` is the process's.

    Returns where the job went, or None where this try has no say in it.
    """
    if worker.keeper.is_draining:
        jobs.send_back(job_id, epoch)
        return None
    taken_at = time.monotonic()
    kinds = [kind.name for kind in registry.registered()]
    claim = job_moves.take(job_id, epoch, worker.name, kinds=kinds)
    if claim is None:
        logger.debug("A stale message for job %s at epoch %s.", job_id, epoch)
        return None
    with (
        in_logs(claim.redactor),
        worker.keeper.watch(claim, taken_at=taken_at) as control,
    ):
        try:
            outcome = _outcome(claim, control)
        except Interrupted as stop:
            if stop.reason is Reason.LOST:
                logger.warning("The lease of job %s is lost; its try stops here.", job_id)
                return None
            outcome = Leave(JobStatus.QUEUED, unspent=1)
        return _settle(claim, control, outcome.without_secrets(claim.redactor))


def _outcome(claim: JobClaim, control: Control) -> Leave:
    """Call the function and wait for its end. Raises Interrupted where that is not to be had."""
    job = claim.job
    answer: Future[Any] = Future()
    control.attach(answer)
    connection.close()
    # A process may have stood still since the claim.
    control.check()
    threading.Thread(
        target=_work,
        args=(claim, Try(claim, control), answer),
        name=f"job-{job.id}",
        daemon=True,
    ).start()
    with suppress(CancelledError, TimeoutError):
        answer.exception(timeout=job.timeout_seconds)
    if not answer.cancel():
        return _of_answer(claim, answer)
    control.check()
    control.stop.set()
    return _failed(claim, timed_out(job.timeout_seconds))


def _work(claim: JobClaim, this: Try, answer: Future[Any]) -> None:
    """Call the function; nobody hears the answer of a try that was given up."""
    try:
        with in_logs(claim.redactor):
            output = registry.find(claim.job.kind).call(claim.job.input, this)
    except BaseException as error:  # It is the answer, whatever it is.
        tell = partial(answer.set_exception, error)
    else:
        tell = partial(answer.set_result, output)
    finally:
        connections.close_all()
    with suppress(InvalidStateError):
        tell()


def _of_answer(claim: JobClaim, answer: Future[Any]) -> Leave:
    error = answer.exception()
    if error is not None:
        logger.info("Try %s of job %s failed.", claim.job.attempt, claim.id, exc_info=error)
        return _failed(claim, failure_of(error))
    try:
        return Leave(JobStatus.COMPLETED, output=storable(answer.result()))
    except NotStorable as refused:
        return _unfit(str(refused))


def _failed(claim: JobClaim, failure: Failure) -> Leave:
    """Again later, or the end, as the rule has it."""
    job = claim.job
    delay = delay_before_next(
        failure,
        job.attempt - job.recoveries,
        max_retries=job.max_retries,
        chance=random.random(),  # noqa: S311  Jitter, no secret.
    )
    if delay is None:
        return Leave(JobStatus.FAILED, failure=failure)
    return Leave(JobStatus.QUEUED, failure=failure, delay=timedelta(seconds=delay))


def _unfit(reason: str) -> Leave:
    return Leave(JobStatus.FAILED, failure=Failure("OUTPUT_INVALID", reason))


def _settle(claim: JobClaim, control: Control, outcome: Leave) -> Leave | None:
    """Keep the outcome, as long as the lease holds; without PostgreSQL, try until it is over."""
    while True:
        try:
            return _written(claim, outcome)
        except DataError as error:
            # What cannot be stored fails at once, and does not come back for ever.
            outcome = _unfit(f"PostgreSQL does not keep it: {error}".replace("\0", "")[:2000])
        except (OperationalError, InterfaceError) as error:
            if not control.is_lease_held:
                logger.warning("The end of job %s could not be kept: %s", claim.id, error)
                return None
            connection.close()
            time.sleep(_PAUSE_SECONDS)


def _written(claim: JobClaim, outcome: Leave) -> Leave | None:
    """Where the job went: as the try has it, or cancelled, if that was asked for meanwhile."""
    if job_moves.leave(claim.job, outcome):
        return outcome
    if job_moves.leave(claim.job, CANCELLED, is_cancelled=True):
        return CANCELLED
    logger.info("The claim of job %s is gone; its late result is not kept.", claim.id)
    return None
