"""Beats and workers run the same schedules, and some are killed: each nudge comes once."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from boards.actions.occurrences import BATCH
from boards.models import Occurrence
from executions.models import Worker
from tests.boards.nudging import (
    crowd_on,
    make_due,
    make_schedule,
    nudges_of,
    pass_time,
    without_defaults,
)
from tests.factories import make_board, make_organization, make_seat
from tests.processes import ROOT, environment, wait_until, worker

pytestmark = pytest.mark.django_db(transaction=True)

OFTEN = {"SIGNALBOX_SWEEP_SECONDS": "0.2"}
# Workers that sweep when a beat asks them to, and hardly by themselves.
SELDOM = {"SIGNALBOX_SWEEP_SECONDS": "600"}
SIX_HOURS = timedelta(hours=6)
A_WEEK = timedelta(days=7)


@contextlib.contextmanager
def beats(count: int, folder: Path) -> Iterator[None]:
    """So many beats for the length of the block."""
    command = [sys.executable, "-m", "celery", "-A", "config", "beat", "--pidfile="]
    processes = [
        subprocess.Popen(
            [*command, "-s", str(folder / f"beat-{number}")],
            cwd=ROOT,
            env=environment() | OFTEN,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for number in range(count)
    ]
    try:
        yield
        assert all(process.poll() is None for process in processes), "A beat has died."
    finally:
        for process in processes:
            process.kill()
            process.wait()


def all_have_run(count: int) -> bool:
    return Occurrence.objects.filter(finished_at__isnull=False).count() == count


def test_three_beats_and_two_workers_run_each_due_time_of_a_week_once(tmp_path: Path) -> None:
    board = without_defaults(make_board(make_organization()))
    agents = [make_seat(board, kind="external") for _ in range(3)]
    terms = {"cool_down_minutes": 0, "interval_minutes": SIX_HOURS // timedelta(minutes=1)}
    schedules = [make_schedule(board, **terms) for _ in range(3)]
    runs = A_WEEK // SIX_HOURS
    with worker(**SELDOM), worker(**SELDOM), beats(3, tmp_path):
        for number in range(1, runs + 1):
            pass_time(SIX_HOURS)
            wait_until(lambda number=number: all_have_run(number * len(schedules)))
        assert Worker.objects.count() == 2
    for schedule in schedules:
        dues = schedule.occurrences.order_by("due_at").values_list("due_at", flat=True)
        assert {after - before for before, after in pairwise(dues)} == {SIX_HOURS}
        assert len(dues) == runs
    assert nudges_of(*agents) == [runs * len(schedules)] * len(agents)


def test_what_a_killed_worker_was_at_is_gone_on_with() -> None:
    board = without_defaults(make_board(make_organization()))
    agents = crowd_on(board, BATCH * 4)
    schedule = make_schedule(board)
    with worker(**OFTEN) as first:
        make_due(schedule)
        wait_until(lambda: Occurrence.objects.filter(nudged__gt=0).exists())
        first.kill()
    with worker(**OFTEN):
        wait_until(lambda: all_have_run(1))
    assert nudges_of(*agents) == [1] * len(agents)
    assert schedule.occurrences.get().nudged == len(agents)
