"""Three agents work on ten tasks of one repository; what they did is merged in any order."""

from __future__ import annotations

import random
import signal
import threading
from pathlib import Path

import pytest
from django.db import connection
from rest_framework.test import APIClient

from agents.models import Organization
from boards.models import Board, Task, TaskStatus
from executions.models import Execution, Status, Worktree
from tests.chaos.conftest import ROUNDS
from tests.chaos.fleet import Fleet
from tests.executions.repositories import a_repository, git, is_untouched
from tests.factories import client_of, make_board, make_organization, make_seat, make_task
from tests.processes import wait_until
from tests.starting import script, tool

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

LIMIT = 3
# Of the ten tasks the last three want the same line to read differently.
ALONE, TOGETHER = 7, 3


@pytest.fixture
def organization() -> Organization:
    return make_organization()


@pytest.fixture
def api(organization: Organization) -> APIClient:
    return client_of(organization)


@pytest.fixture
def board(organization: Organization, tmp_path: Path) -> Board:
    repository = a_repository(tmp_path / "repository", {"shared.txt": "nobody\n"})
    return make_board(organization, repository=str(repository), max_concurrent=LIMIT)


def test_ten_tasks_are_merged_or_refused_in_any_order(
    api: APIClient, board: Board, workers: Fleet
) -> None:
    workers.add(concurrency=8)
    team = [make_seat(board, model="scripted:play", max_concurrency=None) for _ in range(3)]
    tasks = [make_task(board, title=f"Task {n}", description=_work(n)) for n in range(10)]
    for number, task in enumerate(tasks):
        answer = api.post(f"/api/v0/agents/{team[number % 3].id}/start", {"task": str(task.id)})
        assert answer.status_code == 202, answer.json()
        assert _at_work(board) <= LIMIT
    wait_until(lambda: _in_column(board, TaskStatus.REVIEW) == 10 or _at_work(board) > LIMIT)
    assert _in_column(board, TaskStatus.REVIEW) == 10
    runs = {run.task_id: run for run in Execution.objects.filter(board=board)}
    branches = {run.diff["branch"] for run in runs.values()}
    assert len(branches) == len(runs) == 10

    repository, shared = Path(board.repository), []
    for task in random.sample(tasks, 10):
        answer = api.post(f"/api/v0/executions/agents/{runs[task.id].id}/approve", {})
        assert is_untouched(repository)
        if task in tasks[ALONE:]:
            shared.append(answer)
        else:
            assert answer.status_code == 200, answer.json()
    assert [answer.status_code for answer in shared] == [200, 409, 409]
    for answer in shared[1:]:
        problem = answer.json()
        assert (problem["code"], problem["files"]) == ("WORKTREE_MERGE_CONFLICT", ["shared.txt"])
    assert _in_column(board, TaskStatus.DONE) == ALONE + 1
    assert _in_column(board, TaskStatus.REVIEW) == TOGETHER - 1
    for number in range(ALONE):
        assert (repository / f"file-{number}.txt").read_text() == f"{number}\n"
    assert (repository / "shared.txt").read_text() != "nobody\n"


def test_a_merge_whose_worker_is_killed_is_made_once(
    api: APIClient, board: Board, workers: Fleet
) -> None:
    agent = make_seat(board, model="scripted:play", max_concurrency=None)
    repository = Path(board.repository)
    for number in range(ROUNDS):
        (victim,) = workers.add(concurrency=4)
        task = make_task(board, title=f"Task {number}", description=_work(number))
        run_id = api.post(f"/api/v0/agents/{agent.id}/start", {"task": str(task.id)}).json()[
            "exec_id"
        ]
        wait_until(lambda task=task: Task.objects.get(pk=task.pk).status == TaskStatus.REVIEW)
        before = int(git(repository, "rev-list", "--count", "--first-parent", "main"))
        asking = threading.Thread(target=_approve, args=(api, run_id))
        asking.start()
        wait_until(lambda run_id=run_id: _is_asked(run_id))
        threading.Event().wait(random.uniform(0, 0.3))  # noqa: S311  No secret.
        victim.send(signal.SIGKILL)
        victim.kill()
        workers.add(concurrency=4)
        wait_until(lambda task=task: Task.objects.get(pk=task.pk).status == TaskStatus.DONE)
        asking.join()
        assert int(git(repository, "rev-list", "--count", "--first-parent", "main")) == before + 1
        assert is_untouched(repository)
        assert Worktree.objects.get(execution=run_id).status in ("merged", "removing", "removed")


def _approve(api: APIClient, run_id: str) -> None:
    try:
        api.post(f"/api/v0/executions/agents/{run_id}/approve", {})
    finally:
        connection.close()


def _is_asked(run_id: str) -> bool:
    return Worktree.objects.filter(execution=run_id, merges__isnull=False).exists()


def _work(number: int) -> str:
    """What a task has its agent do: a file of its own, or the line that others change too."""
    name, text = f"file-{number}.txt", f"{number}\n"
    if number >= ALONE:
        name = "shared.txt"
    look = tool("Bash", command="sleep 0.3; ls")
    return script(look, tool("Bash", command=f"printf '{text}' > {name}"), {"say": "Done."})


def _at_work(board: Board) -> int:
    return Execution.objects.filter(board=board, status=Status.RUNNING).count()


def _in_column(board: Board, status: str) -> int:
    return Task.objects.filter(board=board, status=status).count()
