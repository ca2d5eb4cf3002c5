"""Redis is flushed, restarted and away, under load: nobody runs beyond a limit, and all end."""

from __future__ import annotations

import time
from functools import partial

import pytest

from agents.redis import client
from executions.engine.sweep import sweep
from executions.models import Execution, Status
from tests.chaos import proof
from tests.chaos.conftest import ROUNDS
from tests.chaos.crowd import Crowd
from tests.chaos.fleet import Fleet, Victim
from tests.chaos.own_services import own_redis
from tests.chaos.sampler import Sampler
from tests.factories import all_at_once
from tests.processes import ended, wait_until
from tests.starting import a_run, an_agent

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

# A start asks Redis for a permit, and must not wait for it to come back.
ACCEPTED_WITHIN = 5.0
# The time of one socket, the patience with another's walk, and a busy machine.
ONE_TIMEOUT = 3.5


def test_a_flush_or_restart_of_redis_admits_nobody_beyond_a_limit(workers: Fleet) -> None:
    with own_redis(durable=True) as service, Sampler() as sampler:
        crowd = Crowd()
        (worker,) = workers.add(concurrency=16)
        for _ in range(ROUNDS):
            crowd.press()
            client().flushall()
            crowd.press()
            service.kill()
            service.start()
        _assert_all_end_within_limits(crowd, sampler, worker)


def test_starts_are_accepted_and_what_runs_goes_on_while_redis_is_away(workers: Fleet) -> None:
    with own_redis(durable=False) as service, Sampler() as sampler:
        crowd = Crowd()
        (worker,) = workers.add(concurrency=16)
        for _ in range(ROUNDS):
            crowd.press()
            service.kill()
            running = list(Execution.objects.filter(status=Status.RUNNING))
            began = time.monotonic()
            crowd.start()
            assert time.monotonic() - began < ACCEPTED_WITHIN
            wait_until(partial(ended, *running))
            # It comes back without its file, and with everything that waited.
            service.start()
        _assert_all_end_within_limits(crowd, sampler, worker)


@pytest.mark.parametrize("count", [1, 10])
def test_starts_do_not_wait_for_one_another_while_redis_hangs(count: int) -> None:
    with own_redis(durable=False) as service:
        agent = an_agent()
        a_run(agent, {"say": "x"})

        def start() -> float:
            began = time.monotonic()
            a_run(agent, {"say": "x"})
            return time.monotonic() - began

        with service.hanging():
            took = all_at_once(*[start] * count)
        assert max(took) < ONE_TIMEOUT, took
        assert Execution.objects.filter(admitted_epoch=None).count() == count
        sweep()
        assert not Execution.objects.filter(admitted_epoch=None).exists()


def _assert_all_end_within_limits(crowd: Crowd, sampler: Sampler, worker: Victim) -> None:
    wait_until(lambda: crowd.has_ended() or not worker.is_running, seconds=120)
    assert worker.is_running, "it did not survive what happened to Redis"
    crowd.assert_kept_its_limits(sampler)
    proof.reconcile_now()
    proof.assert_no_permit_is_left()
