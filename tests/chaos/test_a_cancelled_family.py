"""A tree of running children is cancelled: all of it stops soon, and stays so."""

from __future__ import annotations

import time
from functools import partial

import pytest

from agents.activity import SYSTEM
from executions import actions
from executions.engine.sweep import sweep
from executions.models import Execution, Status
from tests.chaos.fleet import Fleet
from tests.executions.kinds import MODULES, an_agent_of, begun
from tests.processes import ended, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

CHILDREN = 20
# The promise is two seconds; other tests may run beside this one.
STOPS_WITHIN = 4.0


def test_a_cancelled_tree_of_twenty_stops_and_stays_cancelled(workers: Fleet) -> None:
    run = begun(an_agent_of("t.busy"), {"children": CHILDREN})
    workers.add(queues="executions,default", concurrency=24, SIGNALBOX_MODULES=MODULES)
    family = Execution.objects.filter(parent=run)
    wait_until(lambda: family.filter(status=Status.RUNNING).count() == CHILDREN)
    wait_until(lambda: Execution.objects.get(pk=run.pk).status == Status.WAITING)
    began = time.monotonic()
    actions.cancel(run, by=SYSTEM)
    wait_until(partial(ended, run, *family), seconds=30)
    took = time.monotonic() - began
    assert took < STOPS_WITHIN, took
    sweep()
    assert set(family.values_list("status", flat=True)) == {Status.CANCELLED}
    assert not Execution.objects.exclude(admitted_epoch=None).exists()
