"""One task from a board to its merge: limited, extended, paused, resumed, rejected, approved."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from rest_framework.test import APIClient

from agents.models import Agent, Organization
from boards.models import Board, Comment, Task, TaskStatus
from executions.models import Event, Execution, Status
from tests.executions.repositories import a_repository, files_of, git, is_untouched
from tests.factories import make_board, make_seat, make_task
from tests.model_server import ModelServer
from tests.processes import WorkerProcess, ended, wait_until, worker
from tests.starting import script, tool

pytestmark = pytest.mark.django_db(transaction=True)

TURNS = (
    {**tool("Write", path="a.txt", content="one\n"), "say": "I write it."},
    {**tool("Read", path="a.txt"), "say": "I look at it."},
    {**tool("Bash", command="echo two >> a.txt"), "say": "I add to it."},
    {**tool("Glob", pattern="*"), "say": "I look around."},
    {**tool("Bash", command="sleep 2; cat a.txt"), "say": "I wait a little."},
    {"say": "There is a.txt."},
    {**tool("Write", path="b.txt", content="three\n"), "say": "I write the other."},
    {"say": "Now there is b.txt too."},
)
# Of the first execution, up to its end.
STORY = (
    "execution.queued execution.started "
    "execution.turn tool.started tool.finished execution.checkpoint "
    "execution.turn tool.started tool.finished execution.checkpoint "
    "execution.turn tool.started tool.finished execution.checkpoint agent.turn_warning "
    "execution.turn tool.started tool.finished execution.checkpoint execution.paused "
    "execution.queued execution.resumed "
    "execution.turn tool.started tool.finished execution.checkpoint execution.paused "
    "execution.queued execution.resumed "
    "execution.turn execution.completed"
)
REWORK = (
    "execution.forked execution.queued execution.started "
    "execution.turn tool.started tool.finished execution.checkpoint "
    "execution.turn execution.completed"
)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as running:
        yield running


@pytest.fixture
def at_work() -> Iterator[WorkerProcess]:
    with worker(OPENAI_API_KEY="k", ANTHROPIC_API_KEY="k") as process:
        yield process


@pytest.fixture(params=["scripted", "openai", "openai-responses", "anthropic"])
def model(request: pytest.FixtureRequest, server: ModelServer) -> dict[str, Any]:
    """A model that plays the script that its task holds: in the worker, or behind HTTP."""
    if request.param == "scripted":
        return {"model": "scripted:play"}
    url = server.url if request.param == "anthropic" else server.openai_url
    return {"model": f"{request.param}:any", "model_settings": {"base_url": url}}


@pytest.fixture
def board(organization: Organization, tmp_path: Path) -> Board:
    return make_board(organization, repository=str(a_repository(tmp_path / "repository")))


@pytest.fixture
def agent(board: Board, model: dict[str, Any]) -> Agent:
    return make_seat(board, tools=["*"], max_turns=4, **model)


@pytest.fixture
def task(board: Board) -> Task:
    return make_task(board, title="Write two files", description=script(*TURNS))


def test_a_task_is_worked_on_reworked_and_merged(
    api: APIClient, agent: Agent, task: Task, at_work: WorkerProcess
) -> None:
    answer = api.post(f"/api/v0/agents/{agent.slug}/start", {"task": str(task.id)})
    assert answer.status_code == 202, answer.json()
    first = Execution.objects.get(pk=answer.json()["exec_id"])
    assert (column_of(task), task.assigned_agent) == (TaskStatus.IN_PROGRESS, agent)

    stands(first, "turn_limit")
    limited = api.get(address(first)).json()
    assert (limited["turn"], limited["max_turns"]) == (4, 4)
    api.post(address(first, "extend"), {"turns": 6})

    wait_until(lambda: started_calls(first) == 5)
    assert api.post(address(first, "pause"), {}).status_code == 200
    stands(first, "operator")
    assert api.post(address(first, "resume"), {"feedback": "Mind the tests."}).status_code == 200

    wait_until(lambda: column_of(task) == TaskStatus.REVIEW)
    assert story(first) == STORY.split()
    said = [entry["content"]["text"] for entry in entries(api, first)]
    assert "Mind the tests." in said
    assert Comment.objects.get(task=task).content == "There is a.txt."
    diff = api.get(address(first, "diff")).json()
    assert [(file["path"], file["additions"]) for file in diff["files"]] == [("a.txt", 2)]

    refused = api.post(address(first, "reject"), {"reason": "b.txt is missing."})
    assert refused.status_code == 202, refused.json()
    second = Execution.objects.get(pk=refused.json()["exec_id"])
    wait_until(lambda: ended(second) and column_of(task) == TaskStatus.REVIEW)
    assert story(second) == REWORK.split()
    second.refresh_from_db()
    assert second.turn == 8
    assert "b.txt is missing." in [entry["content"]["text"] for entry in entries(api, second)]
    diff = api.get(address(second, "diff")).json()
    assert sorted(file["path"] for file in diff["files"]) == ["a.txt", "b.txt"]

    approved = api.post(address(second, "approve"), {})
    assert approved.status_code == 200, approved.json()
    assert column_of(task) == TaskStatus.DONE
    repository = Path(task.board.repository)
    assert is_untouched(repository)
    assert (repository / "a.txt").read_text() == "one\ntwo\n"
    assert [line.split()[-1] for line in files_of(repository, "main")] == [
        "README",
        "a.txt",
        "b.txt",
    ]
    # The person's own first commit, the agent's work, and the merge of it.
    assert git(repository, "log", "-1", "--format=%s", "main")


def address(execution: Execution, tail: str = "") -> str:
    return f"/api/v0/executions/agents/{execution.id}{tail and '/'}{tail}"


def story(execution: Execution) -> list[str]:
    return list(
        Event.objects.filter(execution=execution).order_by("seq").values_list("type", flat=True)
    )


def entries(api: APIClient, execution: Execution) -> list[dict[str, Any]]:
    return list(api.get(address(execution, "entries"), {"limit": 200}).json()["results"])


def started_calls(execution: Execution) -> int:
    return Event.objects.filter(execution=execution, type="tool.started").count()


def column_of(task: Task) -> str:
    task.refresh_from_db()
    return str(task.status)


def stands(execution: Execution, reason: str) -> None:
    """Wait until it is paused for this reason."""

    def is_paused(key: UUID = execution.id) -> bool:
        rows = Execution.objects.filter(pk=key, status=Status.PAUSED, pause_reason=reason)
        return rows.exists()

    wait_until(is_paused)
