"""What needs a person is configured by agents, boards and inline, checked, added up and frozen."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.models import Agent, Organization
from executions.models import Execution, Status
from tests.executions.asking import refused
from tests.executions.carrying import drive
from tests.executions.holding import ONE, only_call
from tests.factories import API, client_of, make_agent, make_board
from tests.starting import a_board, a_run, an_agent, script, tool

pytestmark = pytest.mark.django_db(transaction=True)

PUSHES = {"tool": "Bash", "arguments": {"command": "*git push*"}}


@pytest.fixture
def admin(organization: Organization) -> APIClient:
    return client_of(organization)


@pytest.fixture(params=["agents", "boards", "executions/agents"])
def save(request: pytest.FixtureRequest, admin: APIClient) -> Any:
    """Configure an agent, a board, or an execution inline."""
    path, inline = f"{API}/{request.param}", {"model": "scripted:play", "prompt": script()}
    given = inline if request.param.startswith("exec") else {"name": "One"}
    return lambda entries: admin.post(path, {**given, "approval_required": entries})


@pytest.mark.parametrize(
    "entries",
    [[], ["Bash"], ["*"], [PUSHES], ["Write", PUSHES, {"tool": "Read"}]],
)
def test_tools_and_patterns_are_taken(save: Any, entries: list[Any]) -> None:
    answer = save(entries)
    assert answer.status_code in (201, 202), answer.json()
    if answer.status_code == 201:
        assert answer.json()["approval_required"] == entries
    else:
        assert Execution.objects.get().spec["approval_required"] == entries


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ("Bash", "is not of type 'array'"),
        (None, "null"),
        ([5], "$[0]: 5 is not of type"),
        (["Bash", ""], "$[1]:"),
        ([{"arguments": {"command": "x"}}], "$[0]: 'tool' is a required property"),
        ([{"tool": "Bash", "args": {}}], "$[0]: Additional properties"),
        ([{"tool": "Bash", "arguments": {}}], "$[0].arguments:"),
        ([{"tool": "Bash", "arguments": {"command": 5}}], "$[0].arguments.command: 5 is not"),
        ([{"tool": "Bash", "arguments": {"command": ""}}], "$[0].arguments.command:"),
        (
            ["Read", {"tool": "Bash", "arguments": {"comand": "x"}}],
            "$[1]: Bash has no argument 'comand'; valid: command, timeout.",
        ),
        ([{"tool": "*", "arguments": {"comand": "x"}}], "$[0]: * has no argument 'comand'"),
        (["Bash"] * 201, "$: ['Bash', 'Bash'"),
        (["Ba\x00sh"], "characters are not allowed"),
    ],
)
def test_what_is_no_entry_is_refused_and_said_where(save: Any, entries: Any, said: str) -> None:
    problem = refused(save(entries), 422, "VALIDATION_FAILED")
    (error,) = problem["errors"]
    assert error["field"].startswith("approval_required")
    assert said in error["detail"]


@pytest.mark.parametrize("entry", ["Fly", {"tool": "Fly", "arguments": {"to": "x"}}])
def test_an_unknown_tool_is_refused_as_in_the_allow_list(save: Any, entry: Any) -> None:
    problem = refused(save(["Bash", entry]), 400, "UNKNOWN_TOOL")
    assert problem["unknown"] == ["Fly"]
    assert not Execution.objects.exists()


def test_it_is_changed_by_patch(admin: APIClient, organization: Organization) -> None:
    for path in (
        f"{API}/agents/{make_agent(organization).id}",
        f"{API}/boards/{make_board(organization).id}",
    ):
        assert admin.get(path).json()["approval_required"] == []
        assert admin.patch(path, {"approval_required": [PUSHES]}).status_code == 200
        assert admin.get(path).json()["approval_required"] == [PUSHES]


def test_an_agents_and_its_boards_add_up(organization: Organization) -> None:
    board = a_board(organization, approval_required=["Write", PUSHES])
    agent = an_agent(organization, approval_required=["Bash", "Write"])
    run = a_run(agent, tool("Write", path="a", content="x"), board=board)
    assert list(run.spec["approval_required"]) == ["Write", PUSHES, "Bash"]
    drive(run)
    assert (run.status, only_call(run).name) == (Status.WAITING, "Write")


def test_a_boards_holds_for_what_is_inline(admin: APIClient, organization: Organization) -> None:
    board = a_board(organization, approval_required=["Bash"])
    body = {"model": "scripted:play", "prompt": script(ONE), "board": str(board.id)}
    assert admin.post(f"{API}/executions/agents", body).status_code == 202
    run = Execution.objects.get()
    drive(run)
    assert run.status == Status.WAITING


def test_a_run_keeps_what_it_began_with(organization: Organization) -> None:
    agent = an_agent(organization, approval_required=["Bash"])
    run = a_run(agent, ONE)
    Agent.objects.update(approval_required=[])
    drive(run)
    assert run.status == Status.WAITING


def test_a_run_that_was_frozen_before_there_were_approvals_has_none(
    organization: Organization,
) -> None:
    run = a_run(an_agent(organization), ONE, {"say": "done"})
    Execution.objects.update(spec={k: v for k, v in run.spec.items() if k != "approval_required"})
    drive(run)
    assert run.status == Status.COMPLETED
