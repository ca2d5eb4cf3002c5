"""A worker is told to stop under load: it leaves in time, and nothing is lost or recovered."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from executions.models import CallStatus, Event, Execution, Status, ToolCall
from tests.chaos import proof
from tests.chaos.conftest import ROUNDS
from tests.chaos.fleet import Fleet, leave_to_the_spare, processes_with
from tests.chaos.stops import Stops
from tests.processes import ended, wait_until
from tests.starting import a_run, an_agent, tool

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

STOPPED_WITHIN = 30.0
# Seconds of a model call and of the patience with them: some end while the worker drains, some
# have to be abandoned. `make test` has less time than `make chaos` and an operator.
MODEL_CALLS = (1, 2, 4, 8, 20) if ROUNDS >= 20 else (0.5, 1, 2, 4, 6)
DRAIN: dict[str, Any] = {} if ROUNDS >= 20 else {"SIGNALBOX_DRAIN_SECONDS": "2"}


def _load(tag: str) -> Iterator[Execution]:
    """Runs that think for long once, and runs in the middle of a long command."""
    agent = an_agent()
    before, after = (tool("Bash", command=f"echo {word} >> log.txt") for word in ("one", "two"))
    for seconds in MODEL_CALLS:
        yield a_run(agent, before, {"delay": seconds} | after, {"say": "done"})
    long = tool("Bash", command=f"echo long >> log.txt; sleep 600; : {tag}")
    for _ in range(2):
        yield a_run(agent, before, long, after, {"say": "done"})
    # More than the worker can hold: what is not begun is left to others too.
    for _ in range(4):
        yield a_run(agent, before, {"say": "done"})


def test_a_worker_told_to_stop_leaves_everything_to_others(stops: Stops, workers: Fleet) -> None:
    tag = f"drained-{uuid4().hex}"
    runs = list(_load(tag))
    (leaver,) = workers.add(stops, concurrency=8, **DRAIN)
    workers.spare(stops)
    calls = ToolCall.objects.filter(arguments__command__icontains=tag)
    wait_until(lambda: calls.filter(status=CallStatus.RUNNING).count() == 2)
    wait_until(lambda: processes_with(tag))

    began = time.monotonic()
    assert leaver.stop(seconds=STOPPED_WITHIN) == 0
    assert time.monotonic() - began < STOPPED_WITHIN
    assert not Execution.objects.filter(status__in=[Status.RUNNING, Status.CANCELLING]).exists()
    assert not processes_with(tag), "a command outlived its worker"
    assert set(calls.values_list("status", flat=True)) == {CallStatus.INTERRUPTED}

    leave_to_the_spare()
    wait_until(lambda: ended(*runs), seconds=90)
    proof.assert_completed(runs)
    proof.assert_nothing_ran_twice(runs, stops.effects())
    assert not Event.objects.filter(type="execution.recovered").exists()
    assert all(run.recoveries == 0 for run in runs)
    proof.assert_no_permit_is_left()
