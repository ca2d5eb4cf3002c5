"""Jobs are listed, read and cancelled over REST, each by its own organization only."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.models import Activity, Role, Scope
from executions.models import Job
from tests.executions.asking import conforms, refused
from tests.executions.scheduling import a_claim, scheduled, taken, tried
from tests.factories import client_of, counted_queries, make_organization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world() -> tuple[Any, APIClient]:
    """An execution that runs, and an operator of its organization."""
    claim = a_claim()
    return claim, client_of(claim.execution.organization, Role.OPERATOR)


def of(job: Job, tail: str = "") -> str:
    return f"/api/v0/executions/jobs/{job.id}{tail}"


def jobs_of(claim: Any) -> str:
    return f"/api/v0/executions/agents/{claim.id}/jobs"


def ids(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.content
    return [row["job_id"] for row in answer.json()["results"]]


def test_the_jobs_of_an_execution_are_listed_newest_first(world: Any) -> None:
    claim, api = world
    first, second = scheduled(claim, key="1"), scheduled(claim, "test.permanent", key="2")
    scheduled(a_claim())
    tried(second)
    page = api.get(jobs_of(claim))
    assert ids(page) == [str(second.id), str(first.id)]
    failed = page.json()["results"][0]
    assert failed["failure"] == {"code": "FILE_GONE", "message": "There is no such file."}
    assert (failed["status"], failed["attempt"]) == ("failed", 1)
    assert not {"input", "output"} & set(failed)
    for query, expected in {
        "status=queued": [first],
        "status=failed,completed": [second],
        "kind=test.permanent": [second],
        "kind=test.nothing": [],
    }.items():
        assert ids(api.get(f"{jobs_of(claim)}?{query}")) == [str(job.id) for job in expected]
    refused(api.get(f"{jobs_of(claim)}?status=dancing"), 422, "VALIDATION_FAILED")
    refused(api.get(f"{jobs_of(claim)}?colour=red"), 400, "UNKNOWN_PARAMETER")


def test_a_job_is_read_as_the_schema_says(world: Any) -> None:
    claim, api = world
    schema = api.get("/api/v0/schema/", {"format": "json"}).json()
    done, open_ = scheduled(claim, key="1"), scheduled(claim, "test.fail", key="2")
    tried(done)
    tried(open_)
    shown = api.get(of(done)).json()
    assert (shown["input"], shown["output"], shown["failure"]) == ({"a": 1, "b": 2}, 3, None)
    assert (shown["exec_id"], shown["key"], shown["max_retries"]) == (str(claim.id), "1", 2)
    assert api.get(of(open_)).json()["failure"]["code"] == "JOB_ERROR"
    for job in (done, open_):
        conforms(schema, "Job", api.get(of(job)).json())
    for row in api.get(jobs_of(claim)).json()["results"]:
        conforms(schema, "ListedJob", row)


def test_a_list_costs_the_same_however_long_it_is(world: Any) -> None:
    claim, api = world
    costs = []
    for count in (1, 8):
        for n in range(count):
            scheduled(claim, key=f"{count}:{n}")
        api.get(jobs_of(claim))
        with counted_queries() as asked:
            api.get(jobs_of(claim))
        costs.append(len(asked))
    assert costs[0] == costs[1]
    assert not [q for q in asked.captured_queries if '"output"' in q["sql"]]


def test_a_queued_job_is_cancelled_with_200_and_an_ended_one_refused(world: Any) -> None:
    claim, api = world
    job = scheduled(claim)
    answer = api.post(of(job, "/cancel"))
    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    line = Activity.objects.get(type="job.cancelled")
    assert (line.actor_name, line.execution_id) == ("a key", claim.id)
    problem = refused(api.post(of(job, "/cancel")), 409, "JOB_STATE")
    assert (problem["job_status"], problem["allowed"]) == ("cancelled", ["queued", "running"])


def test_a_running_job_is_asked_with_202(world: Any) -> None:
    claim, api = world
    job = taken(scheduled(claim)).job
    for _ in range(2):
        answer = api.post(of(job, "/cancel"))
        assert (answer.status_code, answer.json()["status"]) == (202, "running")
        assert answer.json()["cancel_requested_at"] is not None


def test_a_cancel_takes_no_body(world: Any) -> None:
    claim, api = world
    refused(api.post(of(scheduled(claim), "/cancel"), {"why": 1}), 422, "VALIDATION_FAILED")


def test_a_key_repeats_its_cancel(world: Any) -> None:
    claim, api = world
    job = scheduled(claim)
    first, again = (api.post(of(job, "/cancel"), HTTP_IDEMPOTENCY_KEY="1") for _ in range(2))
    assert first.json() == again.json()
    assert again.headers["Idempotency-Replayed"] == "true"


def test_jobs_of_others_are_not_there(world: Any) -> None:
    claim, _ = world
    job, stranger = scheduled(claim), client_of(make_organization(), Role.OWNER)
    refused(stranger.get(jobs_of(claim)), 404, "NOT_FOUND")
    refused(stranger.get(of(job)), 404, "NOT_FOUND")
    refused(stranger.post(of(job, "/cancel")), 404, "NOT_FOUND")
    assert Job.objects.get().status == "queued"


def test_who_may_do_what(world: Any) -> None:
    claim, _ = world
    job, organization = scheduled(claim), claim.execution.organization
    viewer = client_of(organization, Role.VIEWER)
    assert viewer.get(of(job)).status_code == viewer.get(jobs_of(claim)).status_code == 200
    refused(viewer.post(of(job, "/cancel")), 403, "ROLE_TOO_LOW")
    reader = client_of(organization, Role.OPERATOR, Scope.READ)
    refused(reader.post(of(job, "/cancel")), 403, "SCOPE_MISSING")
    runner = client_of(organization, Role.OPERATOR, Scope.RUN)
    assert runner.post(of(job, "/cancel")).status_code == 200
