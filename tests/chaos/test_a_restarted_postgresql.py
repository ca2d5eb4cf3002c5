"""PostgreSQL is restarted under load: everything goes on, and nobody runs beyond a limit."""

from __future__ import annotations

import signal

import pytest
from django.db import connection

from tests.chaos import proof
from tests.chaos.conftest import ROUNDS
from tests.chaos.crowd import Crowd
from tests.chaos.fleet import Fleet
from tests.chaos.own_services import own_postgresql
from tests.chaos.sampler import Sampler
from tests.processes import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

# PostgreSQL's "fast": clients are disconnected, what is committed is written down.
FAST = signal.SIGINT


def test_executions_survive_restarts_of_postgresql(workers: Fleet) -> None:
    with own_postgresql() as service, Sampler() as sampler:
        crowd = Crowd()
        (worker,) = workers.add(concurrency=16)
        for how in [FAST, signal.SIGKILL] * -(-ROUNDS // 2):
            crowd.press()
            service.stop(how)
            service.start()
            connection.close()  # Ours was cut too.
        wait_until(crowd.has_ended, seconds=120)
        assert worker.is_running, "a restart of PostgreSQL ended the worker"
        crowd.assert_kept_its_limits(sampler)
        proof.reconcile_now()
        proof.assert_no_permit_is_left()
        worker.kill()
