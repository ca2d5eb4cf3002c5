"""Work of agents on tasks of a board with a repository, and a worker that merges it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

from django.db import connection
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Agent, Role, Scope
from boards.actions import create_task
from boards.models import Approval, ApprovalKind, Board, Seat, SeatRole, Task, TaskStatus
from executions.models import Execution, Merge, MergeStatus, Status
from executions.review import merges
from tests.executions.carrying import drive
from tests.executions.scheduling import a_process
from tests.factories import API, client_of
from tests.processes import wait_until
from tests.starting import a_board, a_run, an_agent, an_organization, tool

LIST = f"{API}/executions/agents"
FIRST = {"a.txt": "one\n", "b.txt": "two\n"}


def a_repository_board(repository: Path, **fields: Any) -> Board:
    return a_board(an_organization(), repository=str(repository), **fields)


def a_worker_of(board: Board, role: str = SeatRole.WORKER) -> Agent:
    agent = an_agent(board.organization)
    Seat.objects.create(agent=agent, board=board, role=role)
    return agent


def a_started_task(agent: Agent, board: Board, title: str = "Say it better") -> Task:
    fields = {"title": title, "status": TaskStatus.IN_PROGRESS, "assigned_agent": agent}
    return create_task(board, fields, by=SYSTEM)


def writes(path: str = "a.txt", content: str = "ONE\n") -> dict[str, Any]:
    return tool("Write", path=path, content=content)


def worked(agent: Agent, board: Board, *turns: dict[str, Any], **wish: Any) -> Execution:
    """Work on a task of the agent that has ended, with a final answer behind the turns."""
    task = wish.pop("task", None) or a_started_task(agent, board)
    script = turns or (writes(), {"say": "It is better."})
    run = a_run(agent, *script, board=board, task=task, **wish)
    drive(run)
    assert run.status == Status.COMPLETED, (run.status, run.failure_message)
    return run


def task_of(execution: Execution) -> Task:
    return Task.objects.get(pk=execution.task_id)


def approval_of(execution: Execution) -> Approval:
    return Approval.objects.get(execution_id=execution.pk, kind=ApprovalKind.MERGE)


def decider(board: Board, *scopes: str, role: str = Role.OPERATOR) -> APIClient:
    return client_of(board.organization, role, *(scopes or (Scope.READ, Scope.APPROVE)))


def approve(api: APIClient, execution: Execution, **body: Any) -> Any:
    return api.post(f"{LIST}/{execution.pk}/approve", body)


def reject(api: APIClient, execution: Execution, reason: str, **headers: str) -> Any:
    return api.post(f"{LIST}/{execution.pk}/reject", {"reason": reason}, headers=headers)


def shown(api: APIClient, execution: Execution) -> dict[str, Any]:
    answer = api.get(f"{LIST}/{execution.pk}")
    assert answer.status_code == 200, answer.content
    body: dict[str, Any] = answer.json()
    return body


def carry_out(merge_id: UUID) -> None:
    """Carry a merge out in this thread, as a worker does; no keeper renews its claim."""
    merges.carry_out(merge_id, a_process())


@contextmanager
def a_merging_worker(count: int = 1) -> Iterator[None]:
    """Carry out the next `count` merges that are asked for, as a worker does."""
    requested = Merge.objects.filter(status=MergeStatus.REQUESTED)

    def work() -> None:
        try:
            for _ in range(count):
                wait_until(requested.exists)
                carry_out(requested.values_list("pk", flat=True)[0])
        finally:
            connection.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    yield
    thread.join(30)
    assert not thread.is_alive()
