"""What a direct start refuses, with which status and code, before it has any effect."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Agent, AgentToken, Organization, Role
from executions import actions
from executions.configuration import Wish
from executions.models import Execution
from tests.executions.asking import refused, url
from tests.executions.carrying import a_worker
from tests.factories import (
    api_client,
    client_of,
    make_agent,
    make_board,
    make_member,
    make_organization,
    make_task,
    make_task_for,
    make_user,
    signed_in,
)

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("tail", ["", "/async"])
@pytest.mark.parametrize(
    "body", [{}, {"prompt": ""}, {"action": None}, {"prompt": "  "}, {"with": {"a": 1}}]
)
def test_neither_action_nor_prompt_is_400(
    api: APIClient, agent: Agent, body: dict[str, Any], tail: str
) -> None:
    refused(api.post(url(agent, tail), body), 400, "ACTION_OR_PROMPT_REQUIRED")


@pytest.mark.parametrize("timeout", [0, 0.5, 300.5, -1, "60", None, True, [], 10**18])
def test_a_bad_timeout_is_400(api: APIClient, agent: Agent, timeout: Any) -> None:
    problem = refused(
        api.post(url(agent), {"prompt": "Hello.", "timeout": timeout}), 400, "TIMEOUT_INVALID"
    )
    assert (problem["minimum"], problem["maximum"]) == (1, 300)


def test_malformed_json_is_400(api: APIClient, agent: Agent) -> None:
    answer = api.post(url(agent), "{", content_type="application/json")
    refused(answer, 400, "MALFORMED_JSON")


def test_nobody_is_401(agent: Agent) -> None:
    refused(api_client().post(url(agent), {"prompt": "Hello."}), 401, "NOT_AUTHENTICATED")


def test_a_viewer_is_403(organization: Organization, agent: Agent) -> None:
    api = client_of(organization, Role.VIEWER)
    refused(api.post(url(agent), {"prompt": "Hello."}), 403, "ROLE_TOO_LOW")


def test_a_key_without_the_scope_is_403(organization: Organization, agent: Agent) -> None:
    api = client_of(organization, Role.OPERATOR, "read")
    refused(api.post(url(agent, "/async"), {"prompt": "Hello."}), 403, "SCOPE_MISSING")


def test_an_agent_is_403(agent: Agent) -> None:
    row, token = AgentToken.unsaved(agent=agent)
    row.save()
    refused(api_client(token).post(url(agent), {"prompt": "Hello."}), 403, "AGENTS_NOT_ALLOWED")


def test_a_session_without_its_csrf_token_is_403(organization: Organization, agent: Agent) -> None:
    user = make_user()
    make_member(organization, Role.OPERATOR, user)
    browser = APIClient(enforce_csrf_checks=True)
    browser.force_login(user)
    refused(browser.post(url(agent, "/async"), {"prompt": "Hello."}), 403, "CSRF_FAILED")
    assert signed_in(user).post(url(agent, "/async"), {"prompt": "Hi."}).status_code == 202


@pytest.mark.parametrize("tail", ["", "/async"])
def test_an_agent_that_runs_itself_is_409(
    api: APIClient, organization: Organization, tail: str
) -> None:
    agent = make_agent(organization, kind="external")
    refused(api.post(url(agent, tail), {"prompt": "Do it."}), 409, "AGENT_RUNS_ITSELF")
    assert not Execution.objects.exists()


@pytest.mark.parametrize("tail", ["", "/async"])
def test_an_agent_of_another_organization_is_404(api: APIClient, tail: str) -> None:
    stranger = make_agent(make_organization())
    for name in (stranger.slug, str(stranger.id), str(uuid4()), "x" * 600):
        refused(api.post(url(name, tail), {"prompt": "Hello."}), 404, "AGENT_NOT_FOUND")
    assert not Execution.objects.exists()


def test_a_body_over_the_limit_is_413(api: APIClient, agent: Agent) -> None:
    refused(api.post(url(agent), {"prompt": "x" * 1024 * 1024}), 413, "BODY_TOO_LARGE")


def test_another_media_type_is_415(api: APIClient, agent: Agent) -> None:
    answer = api.post(url(agent), "prompt=Hello.", content_type="application/x-www-form-urlencoded")
    refused(answer, 415, "UNSUPPORTED_MEDIA_TYPE")


def test_every_mistake_of_a_body_is_named_at_once(api: APIClient, agent: Agent) -> None:
    body = {
        "prompt": 5,
        "with": [],
        "priority": "3",
        "deadline_seconds": 0,
        "queue": "no",
        "board": "x",
        "colour": "red",
    }
    problem = refused(api.post(url(agent, "/async"), body), 422, "VALIDATION_FAILED")
    assert {error["field"] for error in problem["errors"]} == set(body)


def test_values_that_do_not_fit_the_action_are_422(api: APIClient, agent: Agent) -> None:
    body = {"action": "review", "with": {"number": "7", "depth": "1"}}
    problem = refused(api.post(url(agent, "/async"), body), 422, "VALIDATION_FAILED")
    assert {error["field"] for error in problem["errors"]} == {"with.number", "with.depth"}


def test_an_unknown_action_is_422(api: APIClient, agent: Agent) -> None:
    problem = refused(api.post(url(agent), {"action": "dance"}), 422, "ACTION_UNKNOWN")
    assert problem["allowed"] == ["review"]


def test_a_board_and_a_task_of_another_organization_are_422(api: APIClient, agent: Agent) -> None:
    task = make_task(make_board(make_organization()))
    body = {"prompt": "Hello.", "task": str(task.id), "board": str(task.board_id)}
    problem = refused(api.post(url(agent, "/async"), body), 422, "VALIDATION_FAILED")
    assert {error["field"] for error in problem["errors"]} == {"task", "board"}
    assert not Execution.objects.exists()


def test_a_task_of_another_board_is_422(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    task, board = make_task(make_board(organization)), make_board(organization)
    body = {"prompt": "Hello.", "task": str(task.id), "board": str(board.id)}
    problem = refused(api.post(url(agent, "/async"), body), 422, "VALIDATION_FAILED")
    assert [error["field"] for error in problem["errors"]] == ["task"]


def test_a_task_at_work_is_409(api: APIClient, organization: Organization, agent: Agent) -> None:
    task = make_task_for(agent)
    execution = actions.start(agent, Wish(prompt="First.", task=task, board=task.board), by=SYSTEM)

    body = {"prompt": "Second.", "task": str(task.id)}
    problem = refused(api.post(url(agent, "/async"), body), 409, "AGENT_ALREADY_RUNNING")

    assert problem["current_execution_id"] == str(execution.id)


def test_another_method_is_405(api: APIClient, agent: Agent) -> None:
    answer = api.get(url(agent, "/async"))
    refused(answer, 405, "METHOD_NOT_ALLOWED")
    assert answer.headers["Allow"] == "POST"


def test_a_synchronous_start_without_a_live_worker_is_503(api: APIClient, agent: Agent) -> None:
    a_worker(silent_for=timedelta(minutes=2))
    a_worker(is_draining=True)
    a_worker("deliveries")

    answer = api.post(url(agent), {"prompt": "Hello."})

    problem = refused(answer, 503, "WORKER_UNAVAILABLE")
    assert problem["worker_queue"] == "executions"
    assert int(answer.headers["Retry-After"]) > 0
    assert not Execution.objects.exists()


def test_a_start_that_may_not_queue_is_refused_where_no_slot_is_free(
    api: APIClient, agent: Agent
) -> None:
    Agent.objects.filter(pk=agent.pk).update(max_concurrency=1)
    url = f"/api/v0/agents/{agent.pk}/executions/async"
    first = api.post(url, {"prompt": "one", "queue": False}, format="json")
    assert first.status_code == 202
    second = api.post(url, {"prompt": "two", "queue": False}, format="json")
    assert (second.status_code, second.json()["code"]) == (409, "AGENT_ALREADY_RUNNING")
    assert second.json()["current_execution_id"] == first.json()["exec_id"]
    Organization.objects.filter(pk=agent.organization_id).update(max_concurrent=1)
    Agent.objects.filter(pk=agent.pk).update(max_concurrency=None)
    third = api.post(url, {"prompt": "three", "queue": False}, format="json")
    assert (third.status_code, third.json()["code"]) == (429, "CONCURRENCY_LIMIT_EXCEEDED")
    assert api.post(url, {"prompt": "four"}, format="json").status_code == 202
