"""A task may say which model works on it, how that answers, and for how many turns."""

from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Agent, Organization
from agents.runtime.spec import RunSpec
from boards.models import Board, Task
from executions import actions
from executions.configuration import Wish
from executions.models import Execution, Status
from tests.boards.agents import with_token
from tests.executions.asking import refused
from tests.executions.carrying import drive
from tests.factories import make_board, make_seat, make_task
from tests.starting import script, tool

pytestmark = pytest.mark.django_db(transaction=True)

OWN = {"base_url": "http://127.0.0.1:9/v1", "temperature": 0.2, "max_tokens": 500}


@pytest.fixture
def board(organization: Organization) -> Board:
    return make_board(organization, model="openai:boards")


@pytest.fixture
def seated(board: Board) -> Agent:
    return make_seat(board, model="openai:own", model_settings=OWN, max_turns=20)


def spec_of(agent: Agent, task: Task) -> RunSpec:
    run = actions.start(agent, Wish(prompt="Do it.", board=task.board, task=task), by=SYSTEM)
    return RunSpec.from_json(Execution.objects.get(pk=run.pk).spec)


def test_a_task_that_says_nothing_leaves_all_to_its_agent(seated: Agent, board: Board) -> None:
    spec = spec_of(seated, make_task(board))
    assert (spec.model, spec.max_turns) == ("openai:own", 20)
    assert (spec.model_settings.temperature, spec.model_settings.max_tokens) == (0.2, 500)


def test_what_a_task_says_wins_field_by_field(seated: Agent, board: Board) -> None:
    said: dict[str, Any] = {"model": "openai:tasks", "max_turns": 3}
    spec = spec_of(seated, make_task(board, **said, model_settings={"temperature": 0.9}))
    assert (spec.model, spec.max_turns) == ("openai:tasks", 3)
    settings = spec.model_settings
    assert (settings.temperature, settings.max_tokens) == (0.9, 500)
    assert settings.base_url == OWN["base_url"]


def test_the_address_of_one_provider_is_not_that_of_another(seated: Agent, board: Board) -> None:
    spec = spec_of(seated, make_task(board, model="anthropic:tasks"))
    assert (spec.model, spec.model_settings.base_url) == ("anthropic:tasks", "")


def test_the_turns_of_a_task_stop_its_run(
    api: APIClient, organization: Organization, board: Board
) -> None:
    agent = make_seat(board, model="scripted:echo", tools=["*"])
    look = tool("Glob", pattern="*")
    task = make_task(board, model="scripted:play", max_turns=2)
    wish = Wish(prompt=script(look, look, look), board=board, task=task)
    run = actions.start(agent, wish, by=SYSTEM)
    drive(run)
    assert (run.status, run.pause_reason) == (Status.PAUSED, "turn_limit")
    answer = api.get(f"/api/v0/executions/agents/{run.id}")
    assert (answer.status_code, answer.json()["code"]) == (200, "AGENT_TURN_LIMIT_EXCEEDED")
    listed = api.get("/api/v0/executions/agents").json()["results"][0]
    assert listed["code"] == "AGENT_TURN_LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"model": "nobody:x"}, "model"),
        ({"model_settings": {"temperature": 3}}, "model_settings"),
        ({"model_settings": {"base_url": "http://127.0.0.1:1"}}, "model_settings"),
        ({"max_turns": 501}, "max_turns"),
    ],
)
def test_what_no_agent_could_work_by_is_refused(
    api: APIClient, board: Board, said: dict[str, Any], field: str
) -> None:
    where = f"/api/v0/boards/{board.id}/tasks"
    problem = refused(api.post(where, {"title": "A task", **said}), 422, "VALIDATION_FAILED")
    assert [error["field"].split(".")[0] for error in problem["errors"]] == [field]
    task = make_task(board)
    refused(api.patch(f"{where}/{task.id}", said), 422, "VALIDATION_FAILED")


def test_an_agent_does_not_choose_its_model(board: Board) -> None:
    lead = make_seat(board, role="lead")
    task = make_task(board)
    answer = with_token(lead).patch(
        f"/api/v0/agent/boards/{board.id}/tasks/{task.id}", {"model": "openai:dear"}
    )
    assert answer.status_code in (403, 422)
    task.refresh_from_db()
    assert task.model == ""
