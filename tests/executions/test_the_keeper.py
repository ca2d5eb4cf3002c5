"""The keeper notices in time that it cannot renew a lease, whatever it is that hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from executions.connections import options
from executions.engine.keeper import Keeper
from executions.models import Execution, Job
from tests.executions.carrying import claimed
from tests.executions.scheduling import a_claim, scheduled, taken
from tests.processes import wait_until
from tests.starting import a_run, an_agent

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = settings.EXECUTION_LEASE.total_seconds()


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    keeper = Keeper(name="here:1", queues=[], concurrency=1, sweep=lambda: None)
    keeper.start()
    yield keeper
    keeper.end()


def test_a_run_whose_renewal_hangs_is_stopped_in_time(keeper: Keeper) -> None:
    claim = claimed(a_run(an_agent(), {"say": "x"}))
    began = time.monotonic()
    with keeper.watch(claim, taken_at=began) as control:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("LOCK TABLE executions_execution IN ACCESS EXCLUSIVE MODE")
            wait_until(control.stop.is_set, seconds=LEASE * 2.5)
        assert not control.is_lease_held


def test_a_lease_is_kept_while_another_write_of_the_keeper_hangs(keeper: Keeper) -> None:
    claim = claimed(a_run(an_agent(), {"say": "x"}))
    with keeper.watch(claim, taken_at=time.monotonic()) as control, transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE executions_worker IN ACCESS EXCLUSIVE MODE")
        ends_at = time.monotonic() + LEASE * 2
        while time.monotonic() < ends_at:
            assert control.is_lease_held
            assert not control.stop.is_set()
            time.sleep(0.05)


def test_a_row_that_was_locked_for_a_moment_is_looked_at_again_soon(keeper: Keeper) -> None:
    """Whoever ends a job locks its execution too, and of many one always does."""
    claim = claimed(a_run(an_agent(), {"say": "x"}))
    rows = Execution.objects.filter(pk=claim.id)
    with keeper.watch(claim, taken_at=time.monotonic()) as control:
        with transaction.atomic():
            before = rows.select_for_update(no_key=True).get().lease_expires_at
            time.sleep(LEASE / 3 * 1.2)  # Past the one look that there would be.
        wait_until(lambda: rows.get().lease_expires_at != before, seconds=LEASE / 6)
        assert control.is_lease_held


def test_leases_of_executions_and_jobs_are_kept_together(keeper: Keeper) -> None:
    run = a_claim()
    job = taken(scheduled(run))
    began = time.monotonic()
    with (
        keeper.watch(run, taken_at=began) as of_run,
        keeper.watch(job, taken_at=began) as of_job,
    ):
        Job.objects.filter(pk=job.id).update(cancel_requested_at=timezone.now())
        wait_until(lambda: time.monotonic() > began + LEASE * 1.5)
        assert of_run.is_lease_held
        assert of_job.is_lease_held
        assert (of_job.is_cancelling, of_run.is_cancelling) == (True, False)
    rows = [Execution.objects.get(pk=run.id), Job.objects.get(pk=job.id)]
    assert all(row.lease_expires_at > timezone.now() for row in rows)


def test_a_dead_network_ends_the_keepers_connection_within_a_lease(
    keeper: Keeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    connect = psycopg.connect

    def note(**parameters: Any) -> Any:
        given.update(parameters)
        return connect(**parameters)

    monkeypatch.setattr(psycopg, "connect", note)
    other = Keeper(name="here:2", queues=[], concurrency=1, sweep=lambda: None)
    other._connected().close()
    assert 0 < given["tcp_user_timeout"] < LEASE * 1000
    silent = given["keepalives_interval"] * given["keepalives_count"] + given["keepalives_idle"]
    assert given["keepalives"] == 1
    assert silent <= max(3, LEASE)


def test_the_options_of_django_are_left_out_of_connections_of_our_own() -> None:
    psycopg.connect(**options(), connect_timeout=3).close()
