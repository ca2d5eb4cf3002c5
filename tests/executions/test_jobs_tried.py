"""A job is tried until it succeeds, fails for good, or has used up its retries."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import OperationalError, connection
from django.db.models import F
from django.utils import timezone

from agents.runtime.job_retries import FIRST_BACKOFF
from executions.engine import job_runs
from executions.engine.control import Control, Interrupted, Reason
from executions.models import Event, Execution, Job
from tests.executions.example_jobs import lines
from tests.executions.scheduling import (
    a_job,
    a_kept_process,
    a_process,
    make_due,
    taken,
    told,
    tried,
)
from tests.processes import wait_until

pytestmark = pytest.mark.django_db(transaction=True)

LEASE = settings.EXECUTION_LEASE.total_seconds()


def failed(job: Job) -> tuple[str, str]:
    assert job.status == "failed", job.status
    assert job.finished_at is not None
    assert job.claim_id is None
    return job.failure_code, job.failure_message


def test_a_job_that_succeeds_keeps_what_it_returned() -> None:
    job = a_job()
    tried(job)
    assert (job.status, job.output, job.attempt, job.failure_code) == ("completed", 3, 1, "")
    assert job.finished_at is not None
    assert (job.claim_id, job.lease_expires_at) == (None, None)
    assert told(job.execution) == ["job.scheduled", "job.started", "job.completed"]
    facts = {"job": str(job.id), "kind": "test.add", "key": "k", "attempt": 1}
    assert Event.objects.get(type="job.started").data == facts
    assert Event.objects.get(type="job.completed").data == facts


def test_a_function_is_told_of_its_try() -> None:
    job = a_job("test.who", input=None)
    tried(job)
    assert job.output == {
        "id": str(job.id),
        "key": "k",
        "attempt": 1,
        "execution": str(job.execution_id),
        "cancelled": False,
    }


@pytest.mark.parametrize(
    ("what", "kept"),
    [("backslash", "\\u0000"), ("tuple", [1, 2]), ("none", None)],
)
def test_what_it_returns_is_kept_as_json(what: str, kept: Any) -> None:
    job = a_job("test.give", input={"what": what})
    tried(job)
    assert (job.status, job.output) == ("completed", kept)


@pytest.mark.parametrize("what", ["nul", "half", "infinite", "object", "long"])
def test_what_cannot_be_kept_fails_at_once(what: str) -> None:
    job = a_job("test.give", input={"what": what})
    tried(job)
    code, _ = failed(job)
    assert (code, job.attempt, job.output) == ("OUTPUT_INVALID", 1, None)


def test_what_postgresql_refuses_fails_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    # Should our own look miss something, the job does not come back for ever.
    monkeypatch.setattr("executions.engine.job_runs.storable", lambda value: value)
    job = a_job("test.give", input={"what": "nul"})
    tried(job)
    assert failed(job)[0] == "OUTPUT_INVALID"


def test_a_failure_is_tried_again_later_and_later_until_the_retries_are_used_up() -> None:
    job = a_job("test.fail", input="x")
    for attempt in (1, 2):
        tried(job)
        assert (job.status, job.attempt, job.sent_at) == ("queued", attempt, None)
        # Why it is tried again is there to be read while it waits.
        assert job.failure_message == "ValueError: It cannot be: x\ufffd"
        whole = FIRST_BACKOFF * 2 ** (attempt - 1)
        wait = (job.due_at - timezone.now()).total_seconds()
        assert whole / 2 - 2 < wait <= whole
        make_due(job)
    tried(job)
    assert failed(job) == ("JOB_ERROR", "ValueError: It cannot be: x\ufffd")
    assert job.attempt == 3
    assert told(job.execution) == ["job.scheduled", *["job.started"] * 3, "job.failed"]
    ended = Event.objects.get(type="job.failed").data
    assert (ended["code"], ended["attempt"]) == ("JOB_ERROR", 3)


def test_a_job_is_not_tried_before_it_is_due() -> None:
    job = a_job("test.fail", input="x")
    tried(job)
    assert tried(job) is None
    assert (job.status, job.attempt) == ("queued", 1)


def test_a_later_success_leaves_no_failure() -> None:
    job = a_job("test.fail", input="x")
    tried(job)
    Job.objects.filter(pk=job.pk).update(kind="test.add", input={"a": 1, "b": 1})
    make_due(job)
    tried(job)
    assert (job.status, job.output, job.failure_code, job.attempt) == ("completed", 2, "", 2)


def test_a_permanent_failure_is_not_tried_again() -> None:
    job = a_job("test.permanent", input=None)
    tried(job)
    assert failed(job) == ("FILE_GONE", "There is no such file.")


def test_a_delay_that_was_asked_for_is_kept() -> None:
    job = a_job("test.later", input=3600.0)
    tried(job)
    assert job.status == "queued"
    assert timedelta(minutes=59) < job.due_at - timezone.now() < timedelta(minutes=67)


def test_a_delay_uses_up_a_retry() -> None:
    job = a_job("test.later", input=3600.0, max_retries=0)
    tried(job)
    assert failed(job)[0] == "JOB_ERROR"


def test_lost_workers_use_up_no_retry() -> None:
    job = a_job("test.fail", input="x", max_retries=1)
    Job.objects.filter(pk=job.pk).update(attempt=3, recoveries=3)
    tried(job)
    assert (job.status, job.attempt) == ("queued", 4)


def test_a_try_that_takes_too_long_is_given_up(tmp_path: Any) -> None:
    log, until = str(tmp_path / "log"), tmp_path / "until"
    given = {"log": log, "until": str(until), "deaf": "yes"}
    job = a_job("test.hold", input=given, timeout=1, max_retries=1)
    tried(job)
    assert (job.status, job.failure_code, job.attempt) == ("queued", "TIMED_OUT", 1)
    make_due(job)
    tried(job)
    assert failed(job) == ("TIMED_OUT", "It did not end within 1 s.")
    before = Job.objects.filter(pk=job.pk).values().get()
    # Both threads of it end now; nobody hears their answers.
    until.touch()
    wait_until(lambda: len(lines(log)) == 4)
    assert Job.objects.filter(pk=job.pk).values().get() == before


def test_code_that_asks_is_told_that_its_time_is_over(tmp_path: Any) -> None:
    given = {"log": str(tmp_path / "log"), "until": str(tmp_path / "never")}
    job = a_job("test.hold", input=given, timeout=1, max_retries=0)
    tried(job)
    assert failed(job)[0] == "TIMED_OUT"
    wait_until(lambda: f"job-{job.id}" not in [thread.name for thread in threading.enumerate()])


def test_a_worker_that_stops_gives_the_try_back(tmp_path: Any) -> None:
    given = {"log": str(tmp_path / "log"), "until": str(tmp_path / "never")}
    job = a_job("test.hold", input=given, max_retries=0)
    with a_kept_process() as process:
        stopping = threading.Thread(target=_stop, args=(process, tmp_path / "log"))
        stopping.start()
        tried(job, process)
        stopping.join()
    # As if it had not been tried.
    assert (job.status, job.attempt, job.recoveries) == ("queued", 0, 0)
    assert job.sent_at is not None
    assert told(job.execution) == ["job.scheduled", "job.started"]


def _stop(process: Any, log: Path) -> None:
    """What a worker does at the end of its patience, once the job has begun."""
    wait_until(lambda: lines(log))
    for control in process.keeper._controls():
        control.interrupt(Reason.DRAIN)


def test_a_process_that_stood_still_since_its_claim_begins_nothing(tmp_path: Path) -> None:
    given = {"log": str(tmp_path / "log"), "until": str(tmp_path)}
    claim = taken(a_job("test.hold", input=given))
    control = Control(claim, LEASE, taken_at=time.monotonic() - LEASE)
    with pytest.raises(Interrupted):
        job_runs._outcome(claim, control)
    assert lines(tmp_path / "log") == []


def test_an_end_is_kept_when_postgresql_is_back_before_the_lease_is_over() -> None:
    job = a_job()
    failures = [OperationalError("gone"), OperationalError("gone")]

    def away(execute: Any, sql: str, *more: Any) -> Any:
        if "UPDATE executions_job" in sql and "'running'" not in sql and failures:
            raise failures.pop()
        return execute(sql, *more)

    with connection.execute_wrapper(away):
        tried(job)
    assert not failures
    assert (job.status, job.output) == ("completed", 3)


def test_a_worker_that_stops_takes_no_more() -> None:
    job = a_job()
    assert tried(job, a_process(is_draining=True)) is None
    assert (job.status, job.epoch) == ("queued", 0)


def test_no_event_follows_the_end_of_an_execution() -> None:
    job = a_job()
    Execution.objects.filter(pk=job.execution_id).update(
        status="completed",
        finished_at=timezone.now(),
        claim_id=None,
        lease_expires_at=None,
        admitted_epoch=None,
        epoch=F("epoch") + 1,
    )
    tried(job)
    # It was let go; what it does is not the execution's concern any more.
    assert (job.status, job.output) == ("completed", 3)
    assert told(job.execution) == ["job.scheduled"]
