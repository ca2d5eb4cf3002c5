"""A run whose repository is held, or which holds it and stands still, holds nobody up."""

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from agents.activity import SYSTEM
from executions import actions, git
from executions.configuration import Wish
from executions.engine.sweep import sweep
from executions.models import Condition, Execution, Status
from executions.worktrees import places
from tests.executions.carrying import drive
from tests.executions.repositories import a_repository
from tests.processes import wait_until
from tests.starting import a_board, an_agent, an_organization, script, tool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def repository(tmp_path: Path, settings: Any) -> Path:
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"
    return a_repository(tmp_path / "repository", {"a.txt": "one\n"})


@pytest.fixture
def run(repository: Path) -> Execution:
    """A run that writes one file of the repository."""
    organization = an_organization()
    board = a_board(organization, repository=str(repository))
    prompt = script(tool("Write", path="b.txt", content="b"), {"say": "done"})
    return actions.start(an_agent(organization), Wish(prompt=prompt, board=board), by=SYSTEM)


def test_a_run_waits_without_a_worker_while_its_repository_is_busy(
    run: Execution, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "LOCK_SECONDS", 0.1)
    with places.repository_lock(repository / ".git"):
        drive(run)
    assert (run.status, run.admitted_epoch) == (Status.WAITING, None)
    assert Condition.objects.get(execution=run).reason == "repository_busy"
    assert run.tool_calls.get().status == "prepared"

    Condition.objects.update(due_at=run.created_at)
    sweep()
    drive(run)
    assert run.status == Status.COMPLETED


def test_a_worker_that_stands_still_while_it_sets_a_ref_holds_nobody_up(
    run: Execution, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EXECUTION_LEASE = timedelta(seconds=1)
    began, may_go_on = threading.Event(), threading.Event()
    set_ref = git.set_ref

    def stand_still(*arguments: Any) -> None:
        began.set()
        may_go_on.wait(30)
        set_ref(*arguments)

    def work() -> None:
        drive(run, lease=settings.EXECUTION_LEASE)
        connection.close()

    monkeypatch.setattr(git, "set_ref", stand_still)
    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    assert began.wait(10)
    wait_until(lambda: sweep()["recover_lost"], seconds=10)
    may_go_on.set()
    worker.join(10)
    run.refresh_from_db()
    assert (run.status, run.recoveries) == (Status.QUEUED, 1)
    assert run.tool_calls.get().status == "running"
    assert run.tree == ""


def test_a_worker_that_wakes_before_its_successor_does_not_fail_the_run(
    run: Execution, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EXECUTION_LEASE = timedelta(seconds=0.5)
    set_ref = git.set_ref

    def stand_still(*arguments: Any) -> None:
        set_ref(*arguments)
        wait_until(lambda: not _is_in_transaction())

    monkeypatch.setattr(git, "set_ref", stand_still)
    drive(run, lease=settings.EXECUTION_LEASE)
    assert run.status == Status.RUNNING
    sweep()
    run.refresh_from_db()
    assert run.status == Status.QUEUED


def _is_in_transaction() -> bool:
    """Whether PostgreSQL has not ended this thread's session yet."""
    seen = []

    def look() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'idle in transaction'"
            )
            seen.append(bool(cursor.fetchone()[0]))
        connection.close()

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return seen[0]
