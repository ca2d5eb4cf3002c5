"""On a real worker, by messages of Celery: finished at a limit, sent back, approved, merged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents.activity import SYSTEM
from boards.models import TaskStatus
from executions import actions
from executions.configuration import Wish
from executions.models import Execution, Status
from tests.executions.repositories import a_repository, is_untouched
from tests.executions.reviewing import (
    FIRST,
    LIST,
    a_repository_board,
    a_started_task,
    a_worker_of,
    approve,
    decider,
    reject,
    task_of,
    writes,
)
from tests.processes import ended, wait_until, worker
from tests.starting import script

pytestmark = pytest.mark.django_db(transaction=True)


def test_work_is_finished_sent_back_and_merged_by_workers(tmp_path: Path, settings: Any) -> None:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"
    repository = a_repository(tmp_path / "repository", FIRST)
    board = a_repository_board(repository)
    agent, api = a_worker_of(board), decider(board, "read", "run", "approve")
    task = a_started_task(agent, board)
    agent.max_turns = 1
    agent.save()
    prompt = script(writes(), writes("b.txt", "TWO\n"), {"say": "It is better."})

    with worker(SIGNALBOX_WORK_DIR=str(tmp_path / "work")):
        run = actions.start(agent, Wish(prompt=prompt, board=board, task=task), by=SYSTEM)
        wait_until(lambda: Execution.objects.get(pk=run.pk).status == Status.PAUSED)
        assert api.post(f"{LIST}/{run.pk}/finish").status_code == 200
        wait_until(lambda: task_of(run).status == TaskStatus.REVIEW)

        answer = reject(api, run, "And b?")
        again = Execution.objects.get(pk=answer.json()["exec_id"])
        wait_until(lambda: Execution.objects.get(pk=again.pk).status == Status.PAUSED)
        assert api.post(f"{LIST}/{again.pk}/extend", {"turns": 5}).status_code == 200
        wait_until(lambda: ended(again) and task_of(again).status == TaskStatus.REVIEW)

        assert approve(api, again).status_code == 200
    assert task_of(again).status == TaskStatus.DONE
    texts = [(repository / name).read_text() for name in ("a.txt", "b.txt")]
    assert texts == ["ONE\n", "TWO\n"]
    assert is_untouched(repository)
