"""What Celery keeps of a job's try: its state and result, in the words of Celery."""

from __future__ import annotations

from typing import Any

from celery import states
from celery.exceptions import Ignore

from executions.engine.job_moves import Leave
from executions.models import JobStatus


class JobFailed(Exception):
    """A job's try failed; the job's row says how, and whether there is another."""


class JobCancelled(Exception):
    """A job was cancelled; the job's row says when."""


def answer(task: Any, outcome: Leave | None) -> Any:
    """Return or raise what Celery is to keep of this task, given where its job went.

    A message that came twice or late leaves what is kept of the try as it is.
    """
    if outcome is None:
        raise Ignore
    failure = outcome.failure
    words = f"{failure.code}: {failure.message}" if failure else "given back by its worker"
    match outcome.to:
        case JobStatus.COMPLETED:
            return outcome.output
        case JobStatus.FAILED:
            raise JobFailed(words)
        case JobStatus.CANCELLED:
            task.update_state(state=states.REVOKED, meta=JobCancelled("cancelled"))
        case _:
            task.update_state(state=states.RETRY, meta=JobFailed(words))
    raise Ignore
