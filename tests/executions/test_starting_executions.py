"""An execution is started at the executions themselves: of a named agent, or inline without one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from agents.models import Agent, LiveWork, Organization, Role
from executions.models import Execution, Status
from tests.executions.asking import conforms, refused
from tests.executions.carrying import drive
from tests.factories import (
    api_client,
    client_of,
    make_agent,
    make_board,
    make_organization,
    make_seat,
    make_task,
)

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/api/v0/executions/agents"
NOWHERE = "01890a5d-ac96-774b-bcce-b302099a8057"
INLINE = {"kind": "react", "model": "scripted:echo", "soul": "Be brief.", "tools": ["Read"]}


@pytest.fixture
def admin(organization: Organization) -> APIClient:
    return client_of(organization, Role.ADMIN)


def started(answer: Any) -> Execution:
    assert answer.status_code == 202, answer.content
    return Execution.objects.get(pk=answer.json()["exec_id"])


# --- of an agent -------------------------------------------------------------------------------


def test_an_execution_of_an_agent_is_started_by_slug_or_id(api: APIClient, agent: Agent) -> None:
    for name in (agent.slug, str(agent.id)):
        answer = api.post(LIST, {"agent": name, "prompt": "Do it.", "priority": 2})
        run = started(answer)
        assert answer.headers["Location"] == f"{LIST}/{run.id}" == answer.json()["exec_url"]
        assert (run.agent, run.priority, run.input) == (agent, 2, {"prompt": "Do it."})
        schema = api.get("/api/v0/schema/", {"format": "json"}).json()
        conforms(schema, "Accepted", answer.json())


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"input": "Do it."}, {"prompt": "Do it."}),
        (
            {"input": {"number": 7}, "action": "review"},
            {"action": "review", "with": {"number": 7}},
        ),
        ({"input": {"a": 1}, "prompt": "Do it."}, {"prompt": "Do it.", "with": {"a": 1}}),
    ],
)
def test_input_is_the_prompt_or_the_values(
    api: APIClient, agent: Agent, body: dict[str, Any], shown: dict[str, Any]
) -> None:
    assert started(api.post(LIST, {"agent": agent.slug, **body})).input == shown


def test_it_works_on_the_board_of_the_seat_and_on_its_task(
    api: APIClient, organization: Organization
) -> None:
    board = make_board(organization)
    agent = make_seat(board)
    task = make_task(board)
    body = {"agent": agent.slug, "prompt": "Do it."}
    assert started(api.post(LIST, body)).board == board
    run = started(api.post(LIST, {**body, "task": str(task.id), "deadline_seconds": 60}))
    assert (run.task, run.deadline_at - run.created_at < timedelta(minutes=2)) == (task, True)
    problem = refused(api.post(LIST, {**body, "task": str(task.id)}), 409, "AGENT_ALREADY_RUNNING")
    assert problem["current_execution_id"] == str(run.id)


def test_an_agent_that_is_not_there_is_404(api: APIClient) -> None:
    for name in ("nobody", str(uuid4())):
        refused(api.post(LIST, {"agent": name, "prompt": "x"}), 404, "AGENT_NOT_FOUND")
    refused(api.post(LIST, {"agent": "", "prompt": "x"}), 422, "VALIDATION_FAILED")


def test_an_agent_of_another_organization_is_404(api: APIClient) -> None:
    stranger = make_agent(make_organization())
    for name in (stranger.slug, str(stranger.id)):
        refused(api.post(LIST, {"agent": name, "prompt": "x"}), 404, "AGENT_NOT_FOUND")
    assert not Execution.objects.exists()


def test_an_agent_that_runs_itself_is_409(api: APIClient, organization: Organization) -> None:
    agent = make_agent(organization, kind="external")
    refused(api.post(LIST, {"agent": agent.slug, "prompt": "x"}), 409, "AGENT_RUNS_ITSELF")


def test_what_is_the_agents_is_not_said_again(admin: APIClient, agent: Agent) -> None:
    body = {"agent": agent.slug, "prompt": "x", "soul": "Another.", "tools": ["Bash"]}
    problem = refused(admin.post(LIST, body), 422, "VALIDATION_FAILED")
    assert {(e["field"], e["code"]) for e in problem["errors"]} == {
        ("soul", "not_with_agent"),
        ("tools", "not_with_agent"),
    }


def test_refused_rather_than_queued(api: APIClient, organization: Organization) -> None:
    agent = make_agent(organization)
    body = {"agent": agent.slug, "queue": False}
    first = started(api.post(LIST, {**body, "prompt": "1"}))
    problem = refused(api.post(LIST, {**body, "prompt": "2"}), 409, "AGENT_ALREADY_RUNNING")
    assert problem["current_execution_id"] == str(first.id)


# --- inline ------------------------------------------------------------------------------------


def test_an_inline_execution_runs_without_an_agent(
    admin: APIClient, organization: Organization
) -> None:
    body = {**INLINE, "name": "Passer-by", "max_turns": 5, "token_budget": 900, "input": "Say it."}
    answer = admin.post(LIST, body)
    run = started(answer)
    assert (run.organization, run.agent, run.agent_name) == (organization, None, "Passer-by")
    assert (run.max_turns, run.token_budget, run.kind) == (5, 900, "react")
    assert {name: run.spec[name] for name in INLINE} == INLINE
    assert LiveWork.objects.get().agent is None
    schema = admin.get("/api/v0/schema/", {"format": "json"}).json()
    document = admin.get(answer.headers["Location"]).json()
    conforms(schema, "Execution", document)
    assert document["agent"] is None
    assert "agent" not in document["links"]

    drive(run)

    assert (run.status, run.output) == (Status.COMPLETED, "Say it.")
    assert not LiveWork.objects.exists()
    again = started(admin.post(f"{LIST}/{run.id}/retry"))
    assert (again.agent, again.spec) == (None, run.spec)


def test_what_it_leaves_out_is_its_boards(admin: APIClient, organization: Organization) -> None:
    board = make_board(organization, tools=["Glob"], max_turns=7, model="scripted:play")
    run = started(admin.post(LIST, {"prompt": "x", "board": str(board.id)}))
    assert (run.board, run.spec["tools"], run.max_turns) == (board, ["Glob"], 7)
    assert run.spec["model"] == "scripted:play"


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"tools": ["Read", "Fly"]}, 400, "UNKNOWN_TOOL"),
        ({"kind": "external"}, 409, "AGENT_RUNS_ITSELF"),
        ({"kind": "dancer"}, 422, "VALIDATION_FAILED"),
        ({"model": "nobody:nothing"}, 422, "VALIDATION_FAILED"),
        ({"max_turns": 501}, 422, "VALIDATION_FAILED"),
        ({"model_settings": {"colour": "red"}}, 422, "VALIDATION_FAILED"),
        ({"token_budget": 0}, 422, "VALIDATION_FAILED"),
        ({"board": NOWHERE}, 422, "VALIDATION_FAILED"),
        ({"task": NOWHERE}, 422, "VALIDATION_FAILED"),
        ({"colour": "red"}, 422, "VALIDATION_FAILED"),
        ({"input": 5}, 422, "VALIDATION_FAILED"),
        ({"input": ["x"]}, 422, "VALIDATION_FAILED"),
        ({"input": "x"}, 422, "VALIDATION_FAILED"),
        ({"timeout": 5}, 422, "VALIDATION_FAILED"),
        ({"action": "review"}, 422, "ACTION_UNKNOWN"),
        ({"prompt": " "}, 400, "ACTION_OR_PROMPT_REQUIRED"),
        ({"prompt": "", "input": {"a": 1}}, 400, "ACTION_OR_PROMPT_REQUIRED"),
    ],
)
def test_an_inline_execution_is_refused(
    admin: APIClient, change: dict[str, Any], status: int, code: str
) -> None:
    refused(admin.post(LIST, {**INLINE, "prompt": "x", **change}), status, code)
    assert not Execution.objects.exists()


def test_an_unknown_tool_is_named_with_those_that_there_are(admin: APIClient) -> None:
    problem = refused(admin.post(LIST, {"prompt": "x", "tools": ["Fly"]}), 400, "UNKNOWN_TOOL")
    assert problem["unknown"] == ["Fly"]
    assert "Read" in problem["valid"]


def test_another_organizations_board_is_not_there(admin: APIClient) -> None:
    board = make_board(make_organization())
    task = make_task(board)
    for body in ({"board": str(board.id)}, {"task": str(task.id)}):
        refused(admin.post(LIST, {**INLINE, "prompt": "x", **body}), 422, "VALIDATION_FAILED")


def test_the_limits_of_board_and_organization_hold(admin: APIClient) -> None:
    organization = Organization.objects.get()
    board = make_board(organization, max_concurrent=1)
    body = {**INLINE, "board": str(board.id), "queue": False}
    started(admin.post(LIST, {**body, "prompt": "1"}))
    problem = refused(admin.post(LIST, {**body, "prompt": "2"}), 429, "CONCURRENCY_LIMIT_EXCEEDED")
    assert problem["scope"] == "board"
    Organization.objects.update(max_concurrent=1)
    problem = refused(
        admin.post(LIST, {**INLINE, "prompt": "3", "queue": False}),
        429,
        "CONCURRENCY_LIMIT_EXCEEDED",
    )
    assert problem["scope"] == "organization"
    assert Execution.objects.get().admitted_epoch == 0
    waiting = admin.post(LIST, {**INLINE, "prompt": "4"})
    assert waiting.json()["queue"]["blocked_by"] == "organization"


def test_who_configures_no_agents_starts_no_inline_execution(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    inline, named = {**INLINE, "prompt": "x"}, {"agent": agent.slug, "prompt": "x"}
    problem = refused(api.post(LIST, inline), 403, "ROLE_TOO_LOW")
    assert problem["required"] == "admin"
    assert api.post(LIST, named).status_code == 202
    viewer = client_of(organization, Role.VIEWER)
    reader = client_of(organization, Role.OWNER, "read")
    for body in (inline, named):
        refused(viewer.post(LIST, body), 403, "ROLE_TOO_LOW")
        refused(reader.post(LIST, body), 403, "SCOPE_MISSING")
        refused(api_client().post(LIST, body), 401, "NOT_AUTHENTICATED")
    assert client_of(organization, Role.OWNER, "run").post(LIST, inline).status_code == 202


def test_a_key_starts_one_execution(admin: APIClient) -> None:
    body, key = {**INLINE, "prompt": "x"}, {"Idempotency-Key": "k"}
    first, second = (admin.post(LIST, body, headers=key) for _ in range(2))
    assert first.json()["exec_id"] == second.json()["exec_id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    refused(admin.post(LIST, {**body, "prompt": "y"}, headers=key), 422, "IDEMPOTENCY_MISMATCH")
    # A refusal does not use up its key.
    other = {"Idempotency-Key": "l"}
    refused(admin.post(LIST, {**body, "tools": ["Fly"]}, headers=other), 400, "UNKNOWN_TOOL")
    assert admin.post(LIST, body, headers=other).status_code == 202
    assert Execution.objects.count() == 2
