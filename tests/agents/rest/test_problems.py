"""Whatever goes wrong under the API is answered as problem+json, without internals."""

import logging
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.core.exceptions import ValidationError
from django.db import DataError
from django.test import AsyncClient, Client

from agents.errors import Refusal
from agents.models import Agent
from agents.rest.problems import MEDIA_TYPE, problem_of, render


def test_every_field_is_told_at_once(api: Client) -> None:
    body = {"parts": [{"steps": [1, 0, "x"], "title": ""}, {"steps": []}]}

    answer = api.post("/api/v0/echo", body, "application/json")

    assert (answer.status_code, answer["Content-Type"]) == (422, MEDIA_TYPE)
    errors = {error["field"]: error["code"] for error in answer.json()["errors"]}
    assert errors == {
        "name": "required",
        "parts[0].steps[1]": "min_value",
        "parts[0].steps[2]": "invalid",
        "parts[0].title": "blank",
        "parts[1].title": "required",
    }


def test_a_body_that_is_no_object_is_a_validation_error(api: Client) -> None:
    answer = api.post("/api/v0/echo", [1], "application/json")

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == ""


@pytest.mark.parametrize("path", ["/api/v0/nowhere", "/api/", "/api/v0/agents/not-an-id"])
def test_an_unknown_path_is_a_problem(db: None, path: str) -> None:
    answer = Client().get(path)

    assert (answer.status_code, answer["Content-Type"]) == (404, MEDIA_TYPE)
    assert answer.json()["code"] == "NOT_FOUND"


def test_other_pages_stay_as_they_are(db: None) -> None:
    answer = Client().get("/nowhere")

    assert answer["Content-Type"].startswith("text/html")
    assert answer["X-Request-Id"]


def test_a_method_that_is_not_there(api: Client) -> None:
    answer = api.put("/api/v0/echo", {}, "application/json")

    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer["Allow"] == "GET, POST, HEAD, OPTIONS"


def test_a_method_that_is_not_there_beside_plain_views(api: Client) -> None:
    answer = api.delete("/api/v0/mixed")

    assert (answer.status_code, answer.json()["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert answer["Allow"] == "GET, POST"


def test_a_host_that_is_not_ours(db: None) -> None:
    answer = Client(headers={"Host": "evil.example"}).get("/api/v0/public")

    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_REQUEST")


def test_answers_are_json_only(api: Client) -> None:
    answer = api.get("/api/v0/echo", headers={"Accept": "text/html"})

    assert (answer.status_code, answer.json()["code"]) == (406, "NOT_ACCEPTABLE")


@pytest.mark.parametrize("path", ["/api/v0/broken/inside", "/api/v0/plain-broken"])
def test_an_internal_error_tells_nothing_but_its_id(
    db: None, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    client = Client(raise_request_exception=False)
    with caplog.at_level(logging.ERROR, "agents.rest.problems"):
        answer = client.get(path, headers={"X-Request-Id": "req-7"})

    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")
    assert b"hunter2" not in answer.content
    assert answer.json()["request_id"] == answer["X-Request-Id"] == "req-7"
    ours = [record for record in caplog.records if record.name == "agents.rest.problems"]
    assert "req-7" in ours[0].getMessage()
    assert ours[0].exc_info is not None


def test_an_internal_error_of_an_async_request(db: None) -> None:
    client = AsyncClient(raise_request_exception=False)
    answer = async_to_sync(client.get)("/api/v0/plain-broken")

    assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL_ERROR")


def test_a_database_that_is_away_is_worth_a_retry(db: None) -> None:
    answer = Client().get("/api/v0/broken/database")

    body = answer.json()
    assert (answer.status_code, body["code"]) == (503, "DEPENDENCY_UNAVAILABLE")
    assert (body["retryable"], answer["Retry-After"]) == (True, "5")
    assert b"secret.internal" not in answer.content


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"name": "a", "slug": "SCRIBE"}, 409, "CONFLICT"),
        ({"name": "a", "slug": "a", "max_turns": 0}, 422, "VALIDATION_FAILED"),
    ],
)
def test_what_only_the_database_refuses_is_no_internal_error(
    api: Client, agent: Agent, body: dict[str, Any], status: int, code: str
) -> None:
    answer = api.post("/api/v0/agents", body, "application/json")

    assert (answer.status_code, answer.json()["code"]) == (status, code)


class Sample(Refusal):
    """There is a reason."""

    code = "SAMPLE"


@pytest.mark.parametrize(
    ("exc", "status", "code"),
    [
        (Sample(), 409, "SAMPLE"),
        (redis.ConnectionError(), 503, "DEPENDENCY_UNAVAILABLE"),
        (redis.TimeoutError(), 503, "DEPENDENCY_UNAVAILABLE"),
        (DataError("integer out of range"), 422, "VALIDATION_FAILED"),
        (ValidationError({"name": ["no"], "__all__": ["never"]}), 422, "VALIDATION_FAILED"),
        (ValidationError("no"), 422, "VALIDATION_FAILED"),
        (KeyError("x"), 500, "INTERNAL_ERROR"),
    ],
)
def test_what_an_exception_means(exc: Exception, status: int, code: str) -> None:
    problem = problem_of(exc)

    assert (problem.status, problem.code) == (status, code)


def test_facts_stand_beside_the_members_but_replace_none() -> None:
    answer = render(problem_of(Sample(limit=3, status=1, text="\ud800")), "r")

    assert b'"limit": 3' in answer.content
    assert b'"status": 409' in answer.content
    assert b"There is a reason." in answer.content
