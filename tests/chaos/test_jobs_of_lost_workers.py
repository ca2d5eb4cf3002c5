"""A worker that carries jobs is killed or stands still: each job ends once all the same."""

from __future__ import annotations

import random
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from executions.engine.claim import Batch, Claim
from executions.engine.conditions import Wait, Wanted
from executions.engine.ends import suspend
from executions.models import JOB_TERMINAL, Condition, Event, Execution, Job, WaitMode, Worker
from tests.chaos.conftest import ROUNDS
from tests.chaos.fleet import Fleet, Victim
from tests.executions.example_jobs import lines
from tests.executions.scheduling import MODULE, a_claim, scheduled, told
from tests.processes import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

JOBS: dict[str, Any] = {"queues": "jobs", "SIGNALBOX_MODULES": MODULE}
MANY = 24


def _wait_for(claim: Claim, *jobs: Job) -> None:
    wanted = [Wanted(Condition.Kind.JOB, target_id=job.id) for job in jobs]
    assert suspend(claim, Batch(), Wait(wanted, WaitMode.ALL))


def _held(claim: Claim, folder: Path, **more: Any) -> Job:
    given = {"log": str(folder / "log"), "until": str(folder / "until"), **more}
    return scheduled(claim, "test.hold", input=given)


def _has_begun(folder: Path, worker: Victim) -> None:
    wait_until(lambda: f"began:{worker.pid}" in lines(folder / "log"))


def test_a_job_whose_worker_is_killed_runs_again_and_ends_once(
    tmp_path: Path, workers: Fleet
) -> None:
    claim = a_claim()
    job = _held(claim, tmp_path)
    _wait_for(claim, job)
    (victim,) = workers.add(**JOBS)
    _has_begun(tmp_path, victim)
    (successor,) = workers.add(**JOBS)
    victim.kill()
    _has_begun(tmp_path, successor)
    (tmp_path / "until").touch()
    wait_until(lambda: Execution.objects.get(pk=claim.id).status == "queued")
    job.refresh_from_db()
    assert (job.status, job.output) == ("completed", f"done:{successor.pid}")
    assert (job.attempt, job.recoveries) == (2, 1)
    assert told(claim.execution) == [
        "job.scheduled",
        "job.started",
        "job.started",
        "job.completed",
    ]


def test_a_worker_that_wakes_late_ends_no_job(tmp_path: Path, workers: Fleet) -> None:
    claim = a_claim()
    job = _held(claim, tmp_path, deaf="yes")
    _wait_for(claim, job)
    (sleeper,) = workers.add(**JOBS)
    _has_begun(tmp_path, sleeper)
    (successor,) = workers.add(**JOBS)
    sleeper.stand_still()
    _has_begun(tmp_path, successor)
    (tmp_path / "until").touch()
    wait_until(lambda: Execution.objects.get(pk=claim.id).status == "queued")
    before = _everything(claim)
    sleeper.go_on()
    # It works to its end, and nobody takes its word for it.
    wait_until(lambda: f"ended:{sleeper.pid}" in lines(tmp_path / "log"))
    wait_until(lambda: Worker.objects.get(pid=sleeper.pid).running == 0)
    assert _everything(claim) == before
    job.refresh_from_db()
    assert job.output == f"done:{successor.pid}"


def _everything(claim: Claim) -> list[Any]:
    return [
        list(Job.objects.values()),
        list(Event.objects.filter(execution_id=claim.id).values()),
        Execution.objects.values("status", "epoch", "event_seq").get(pk=claim.id),
    ]


def test_a_worker_that_is_told_to_stop_hands_its_job_on(tmp_path: Path, workers: Fleet) -> None:
    claim = a_claim()
    job = _held(claim, tmp_path, deaf="yes")
    _wait_for(claim, job)
    (leaving,) = workers.add(SIGNALBOX_DRAIN_SECONDS="0.5", **JOBS)
    _has_begun(tmp_path, leaving)
    assert leaving.stop() == 0
    job.refresh_from_db()
    assert (job.status, job.attempt, job.recoveries) == ("queued", 0, 0)
    (successor,) = workers.add(**JOBS)
    _has_begun(tmp_path, successor)
    (tmp_path / "until").touch()
    wait_until(lambda: Execution.objects.get(pk=claim.id).status == "queued")
    job.refresh_from_db()
    assert (job.output, job.attempt, job.recoveries) == (f"done:{successor.pid}", 1, 0)


def test_jobs_survive_kills_at_any_moment(tmp_path: Path, workers: Fleet) -> None:
    """Not the points that we thought of: whatever the workers do when they are hit."""
    chance = random.Random(ROUNDS)  # noqa: S311  Moments, not secrets.
    claim, log = a_claim(), str(tmp_path / "log")
    jobs = [
        scheduled(claim, "test.tick", key=f"k{n}", input={"log": log, "n": n, "seconds": 0.3})
        for n in range(MANY)
    ]
    _wait_for(claim, *jobs)
    workers.add(concurrency=3, **JOBS)
    for _ in range(ROUNDS):
        signal.sigtimedwait([], chance.uniform(0.1, 0.9))
        victim = chance.choice([worker for worker in workers.workers if worker.is_running])
        victim.kill()
        workers.add(concurrency=3, **JOBS)
    wait_until(lambda: Job.objects.filter(status__in=JOB_TERMINAL).count() == MANY, seconds=90)
    wait_until(lambda: Execution.objects.get(pk=claim.id).status == "queued")
    began = Counter(lines(log))
    for job in Job.objects.all():
        n = job.input["n"]
        assert (job.status, job.output) == ("completed", n)
        assert job.attempt == job.recoveries + 1
        # A try whose worker is killed before its function begins leaves no line.
        assert 1 <= began[str(n)] <= job.attempt
    events = Counter(told(claim.execution))
    tries = sum(Job.objects.values_list("attempt", flat=True))
    assert (events["job.started"], events["job.completed"]) == (tries, MANY)
