"""A worker dies at each of its commits, before and after: the run ends as without any death.

The death is an exception that no code of the engine catches, raised where a transaction or a
guarded statement begins or has ended; what would have followed the commit does not happen, and the
lease runs out. `tests/chaos` kills real processes at the same places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import wraps
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection
from django.db.backends.postgresql.base import DatabaseWrapper
from django.utils import timezone

from agents import prepared
from agents.activity import SYSTEM
from executions import signals
from executions.engine import claim as claims
from executions.engine import job_moves, job_runs
from executions.engine.keeper import Keeper
from executions.engine.sweep import sweep
from executions.models import (
    TERMINAL,
    Condition,
    Execution,
    Job,
    JobStatus,
    Status,
)
from tests.executions import everything
from tests.executions.carrying import drive
from tests.executions.everything import assert_as_without_a_death
from tests.executions.kinds import an_agent_of, begun
from tests.long_form import IS_LONG

pytestmark = pytest.mark.django_db(transaction=True)

# Every boundary in the long form, each thirteenth in the short one.
STRIDE = 1 if IS_LONG else 13


class Died(BaseException):
    """The process is gone."""


class Death:
    """Counts boundaries while a worker works, and ends it at one of them."""

    def __init__(self, at: int | None) -> None:
        self.at, self.seen = at, 0
        self.is_working = self.is_over = False

    def boundary(self) -> None:
        if not self.is_working:
            return
        self.seen += 1
        # Who is dead stays so, whatever is done about the first error.
        if self.at is not None and self.seen >= self.at and not self.is_over:
            if connection.connection is not None and not connection.connection.closed:
                connection.connection.rollback()
            raise Died

    def around(self, original: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(original)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            self.boundary()
            result = original(*args, **kwargs)
            self.boundary()
            return result

        return wrapped

    @contextmanager
    def working(self) -> Iterator[None]:
        """A worker works here; if it dies, nobody hears of it before its lease runs out."""
        self.is_working = True
        try:
            yield
        except Died:
            self.is_over = True
            connection.close()
        finally:
            self.is_working = False


@pytest.fixture
def death(monkeypatch: pytest.MonkeyPatch) -> Callable[[int | None], Death]:
    def install(at: int | None) -> Death:
        made = Death(at)
        monkeypatch.setattr(prepared, "rows", made.around(prepared.rows))
        monkeypatch.setattr(claims, "take", made.around(claims.take))
        monkeypatch.setattr(job_moves, "take", made.around(job_moves.take))
        monkeypatch.setattr(DatabaseWrapper, "_commit", made.around(DatabaseWrapper._commit))
        return made

    return install


def live_on(run: Execution, death: Death) -> None:
    """Work, speak, sweep, until the run has ended."""
    worker = SimpleNamespace(
        name="here:1", keeper=Keeper(name="here:1", queues=[], concurrency=1, sweep=lambda: None)
    )
    for _ in range(60):
        for execution in Execution.objects.filter(
            status=Status.QUEUED, admitted_epoch__isnull=False
        ):
            with death.working():
                drive(execution)
        for job in Job.objects.filter(status=JobStatus.QUEUED):
            with death.working():
                job_runs.run(job.id, job.epoch, worker)
        signals.send(run, name="say", value="hello", by=SYSTEM, dedup_key="1")
        _leases_run_out()
        sweep()
        run.refresh_from_db()
        if run.status in TERMINAL:
            return
    raise AssertionError(f"it never ended: {run.status} {list(Condition.objects.all())}")


def _leases_run_out() -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    Execution.objects.filter(lease_expires_at__isnull=False).update(lease_expires_at=long_ago)
    Job.objects.filter(lease_expires_at__isnull=False).update(lease_expires_at=long_ago)
    Job.objects.filter(status=JobStatus.QUEUED).update(due_at=long_ago)


def _lived(at: int | None, install: Callable[[int | None], Death]) -> Death:
    everything.DONE.clear()
    run = begun(an_agent_of("t.everything"))
    death = install(at)
    live_on(run, death)
    assert_as_without_a_death(run, at)
    # A step that was under way may have been begun twice; one that is kept never is.
    most = 1 if at is None else 2
    assert all(everything.DONE.count(key) <= most for key in ("first", "second"))
    return death


def test_a_worker_that_dies_at_any_boundary_changes_nothing_of_the_end(
    death: Callable[[int | None], Death], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context():
        boundaries = _lived(None, death).seen
    assert boundaries > 60
    for at in range(1, boundaries + 1, STRIDE):
        with monkeypatch.context():
            assert _lived(at, death).seen >= at
