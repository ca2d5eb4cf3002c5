"""A busy worker takes its next message when a thread is free, and not a second later."""

from __future__ import annotations

from itertools import pairwise
from statistics import median

import pytest

from executions.models import Execution
from tests.processes import ended, wait_until, worker
from tests.starting import a_run, an_agent

RUNS = 10
# Celery's own loop looks again up to a second later.
SECONDS = 0.35


@pytest.mark.django_db(transaction=True)
def test_a_worker_of_one_thread_does_not_pause_between_runs() -> None:
    agent = an_agent()
    runs = [a_run(agent, {"say": "Done."}) for _ in range(RUNS)]
    with worker(concurrency=1):
        wait_until(lambda: ended(*runs))
    rows = list(Execution.objects.filter(agent=agent).order_by("started_at"))
    pauses = [pause(before, after) for before, after in pairwise(rows)]
    assert median(pauses) < SECONDS, pauses


def pause(before: Execution, after: Execution) -> float:
    assert before.finished_at is not None
    assert after.started_at is not None
    return (after.started_at - before.finished_at).total_seconds()
