"""The keeper notices in time that it cannot renew a lease, whatever it is that hangs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection, transaction

from executions.connections import options
from executions.engine.keeper import Keeper
from tests.executions.carrying import claimed
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
