"""Carries executions on in the test's own process, as a worker would, one step at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from django.db import connection
from django.test import override_settings
from django.utils import timezone

from executions.engine import claim as claims
from executions.engine import ends, runner
from executions.engine.claim import Batch, Claim
from executions.engine.keeper import Keeper
from executions.models import Execution, PauseReason, Status, Worker
from tests.processes import wait_until

USAGE = {
    "requests": 2,
    "input_tokens": 30,
    "output_tokens": 7,
    "cached_tokens": 5,
    "seconds": 0.5,
    "by_model": [
        {
            "model": "scripted:play",
            "requests": 2,
            "input_tokens": 30,
            "output_tokens": 7,
            "cached_tokens": 5,
        }
    ],
}


def a_worker(*queues: str, silent_for: timedelta = timedelta(0), **fields: Any) -> Worker:
    """A worker's sign of life, with no worker behind it."""
    return Worker.objects.create(
        name="here:1",
        host="here",
        pid=1,
        queues=list(queues or ("executions",)),
        seen_at=timezone.now() - silent_for,
        **fields,
    )


def claimed(execution: Execution) -> Claim:
    """Claim an admitted execution."""
    execution.refresh_from_db()
    claim = claims.take(execution.id, execution.epoch, "here:1")
    assert claim is not None
    return claim


def drive(execution: Execution, *, lease: timedelta = timedelta(minutes=1)) -> None:
    """Carry an admitted execution on in this thread, as a worker does, until it leaves.

    No keeper renews its lease, so that is as long as a busy machine may take for one turn.
    """
    execution.refresh_from_db()
    keeper = Keeper(name="here:1", queues=[], concurrency=1, sweep=lambda: None)
    with override_settings(EXECUTION_LEASE=lease):
        runner.advance(execution.id, execution.epoch, SimpleNamespace(name="here:1", keeper=keeper))
    execution.refresh_from_db()


def complete(execution: Execution, output: Any = "done") -> None:
    ends.complete(claimed(execution), Batch(usage=USAGE), output=output, diff=None)


def fail(execution: Execution) -> None:
    ends.fail(claimed(execution), Batch(usage=USAGE), code="MODEL_ERROR", message="It is down.")


def pause(execution: Execution) -> None:
    ends.pause(claimed(execution), Batch(usage=USAGE), PauseReason.TURN_LIMIT)


def sleep(execution: Execution) -> None:
    ends.sleep(claimed(execution), Batch(usage=USAGE), seconds=60, reason="model_busy")


@contextmanager
def carrying_on(step: Callable[[Execution], Any], count: int = 1) -> Iterator[None]:
    """Take this step with each of the next `count` executions that are admitted."""

    def work() -> None:
        taken: set[Any] = set()
        try:
            while len(taken) < count:
                wait_until(lambda: _admitted().exclude(pk__in=taken).exists())
                for execution in _admitted().exclude(pk__in=taken):
                    taken.add(execution.pk)
                    step(execution)
        finally:
            connection.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(30)
    assert not thread.is_alive()


def _admitted() -> Any:
    return Execution.objects.filter(status=Status.QUEUED, admitted_epoch__isnull=False)
