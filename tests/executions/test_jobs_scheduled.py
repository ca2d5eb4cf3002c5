"""A job is scheduled with its execution's commit: once for each key, or not at all."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import transaction

from agents.redis import client
from executions.engine import claim as claims
from executions.engine import jobs
from executions.engine.claim import Batch
from executions.errors import JobInvalid, JobKindUnknown, JobMismatch, Superseded
from executions.models import Execution, Job
from tests.executions.scheduling import a_claim, scheduled, told

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_job_is_queued_with_the_terms_of_its_kind_and_a_hint_is_sent() -> None:
    claim = a_claim()
    job = scheduled(claim)
    row = Job.objects.get()
    assert row.id == job.id
    assert (row.status, row.epoch, row.attempt, row.input) == ("queued", 0, 0, {"a": 1, "b": 2})
    assert (row.max_retries, row.timeout_seconds, row.worker_queue) == (2, 30, "jobs")
    assert row.sent_at is not None
    assert client().llen("jobs") == 1
    assert told(claim.execution) == ["job.scheduled"]


def test_a_job_may_have_terms_of_its_own() -> None:
    scheduled(a_claim(), max_retries=0, timeout=5, worker_queue="heavy")
    row = Job.objects.get()
    assert (row.max_retries, row.timeout_seconds, row.worker_queue) == (0, 5, "heavy")
    assert client().llen("heavy") == 1


def test_the_same_key_gives_the_same_job_back() -> None:
    claim = a_claim()
    first = scheduled(claim, input={"a": 1, "b": 2})
    again = scheduled(claim, input={"b": 2, "a": 1})
    assert again.id == first.id
    assert Job.objects.count() == client().llen("jobs") == 1


def test_the_same_key_of_another_execution_is_another_job() -> None:
    assert scheduled(a_claim()).id != scheduled(a_claim()).id


@pytest.mark.parametrize(
    "other", [{"input": {"a": 1, "b": 3}}, {"input": None}, {"kind": "test.give"}]
)
def test_the_same_key_with_other_input_or_kind_is_refused(other: dict[str, Any]) -> None:
    claim = a_claim()
    first = scheduled(claim)
    with pytest.raises(JobMismatch) as refusal:
        scheduled(claim, **other)
    assert (refusal.value.code, refusal.value.status_code) == ("IDEMPOTENCY_MISMATCH", 422)
    assert refusal.value.facts["job"] == str(first.id)
    assert Job.objects.count() == 1


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(JobKindUnknown) as refusal:
        scheduled(a_claim(), "test.nothing")
    assert (refusal.value.code, refusal.value.status_code) == ("JOB_KIND_UNKNOWN", 422)
    assert "test.add" in refusal.value.facts["known"]
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "wrong",
    [
        {"input": "a\0"},
        {"input": "\ud800"},
        {"input": float("nan")},
        {"input": object()},
        {"key": ""},
        {"key": "a\0"},
        {"key": "x" * 201},
        {"timeout": 0},
        {"patience": 1},
    ],
)
def test_what_cannot_be_kept_is_refused(wrong: dict[str, Any]) -> None:
    claim = a_claim()
    with pytest.raises(JobInvalid):
        scheduled(claim, **wrong)
    assert not Job.objects.exists()
    assert told(claim.execution) == []


def test_a_claim_that_is_gone_schedules_nothing() -> None:
    claim = a_claim()
    Execution.objects.filter(pk=claim.id).update(epoch=claim.epoch + 1)
    with pytest.raises(Superseded):
        scheduled(claim)
    assert not Job.objects.exists()


def test_nothing_is_sent_for_what_is_rolled_back() -> None:
    claim = a_claim()
    with transaction.atomic():
        claims.commit(claim, Batch())
        jobs.schedule(claim.execution, key="k", kind="test.add", input=1)
        transaction.set_rollback(True)
    assert not Job.objects.exists()
    assert client().llen("jobs") == 0
