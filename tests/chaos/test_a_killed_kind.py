"""A worker is killed anywhere in a run of jobs, children, signals and waits: its end is one."""

from __future__ import annotations

import random
from functools import partial

import pytest

from agents.activity import SYSTEM
from executions import signals
from executions.models import Execution
from tests.chaos.conftest import ROUNDS
from tests.chaos.dying import DIES_AT
from tests.chaos.fleet import Fleet, Victim
from tests.executions.everything import assert_as_without_a_death
from tests.executions.kinds import MODULES, an_agent_of, begun
from tests.processes import ended, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

QUEUES = "executions,jobs,default"
# A whole run has more; the sweeps of the dying worker count too.
BOUNDARIES = range(2, 150)


def test_a_run_of_everything_ends_the_same_wherever_its_worker_is_killed(workers: Fleet) -> None:
    for dies_at in random.sample(BOUNDARIES, ROUNDS):
        run = begun(an_agent_of("t.everything"))
        signals.send(run, name="say", value="hello", by=SYSTEM)
        (dying,) = workers.add(
            queues=QUEUES,
            module="tests.chaos.dying",
            SIGNALBOX_MODULES=MODULES,
            **{DIES_AT: str(dies_at)},
        )
        wait_until(partial(_is_over, dying, run))
        dying.kill()
        (living,) = workers.add(queues=QUEUES, SIGNALBOX_MODULES=MODULES)
        wait_until(partial(ended, run, *Execution.objects.filter(parent=run)), seconds=60)
        run.refresh_from_db()
        assert_as_without_a_death(run, dies_at)
        living.kill()


def _is_over(worker: Victim, run: Execution) -> bool:
    return not worker.is_running or ended(run)
