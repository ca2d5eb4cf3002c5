"""A crowd of starts on one board: its limit and its queue hold, and nobody is lost."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from django.core.asgi import get_asgi_application
from django.db.models import F

from agents.models import Agent, LiveWork, Organization, Role
from boards.models import Move, Task, TaskStatus
from executions.engine.dispatch import dispatch
from executions.engine.sweep import sweep
from executions.models import Event, Execution, Status
from tests.agents.rest.serving import serving
from tests.executions.carrying import complete
from tests.executions.test_api_direct_crowds import caller
from tests.factories import client_of, make_board, make_key, make_seat

pytestmark = pytest.mark.django_db(transaction=True)

CROWD, LIMIT, QUEUE = 500, 3, 50
HELD = LIMIT + QUEUE


def test_the_limit_holds_with_500_starts_at_once(organization: Organization, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
    board = make_board(organization, max_concurrent=LIMIT, max_queue=QUEUE)
    worker = make_seat(board)
    Agent.objects.update(max_concurrency=None)
    tasks = Task.objects.bulk_create(
        Task(board=board, title=f"Task {n}", assigned_agent=worker) for n in range(CROWD)
    )
    headers = {"Authorization": f"Bearer {make_key(organization, Role.OPERATOR)[1]}"}

    async def ask(host: str, port: int) -> list[httpx2.Response]:
        async with caller(host, port, headers) as client:
            paths = [f"/api/v0/boards/{board.id}/tasks/{task.id}/start" for task in tasks]
            return list(await asyncio.gather(*(client.post(path) for path in paths)))

    with serving(get_asgi_application()) as address:
        answers = asyncio.run(ask(*address))

    assert Counter(answer.status_code for answer in answers) == {202: HELD, 429: CROWD - HELD}
    problems = [answer.json() for answer in answers if answer.status_code == 429]
    assert {problem["code"] for problem in problems} == {"QUEUE_FULL"}
    assert {problem["max_size"] for problem in problems} == {QUEUE}

    accepted = {answer.json()["exec_id"] for answer in answers if answer.status_code == 202}
    assert {str(key) for key in Execution.objects.values_list("pk", flat=True)} == accepted
    dispatch(organization.id)  # Whoever found another at it too long left it to the sweep.
    admitted = Execution.objects.filter(admitted_epoch__isnull=False)
    assert (admitted.count(), LiveWork.objects.count()) == (LIMIT, HELD)
    started = Task.objects.filter(status=TaskStatus.IN_PROGRESS)
    assert (started.count(), Move.objects.count()) == (HELD, HELD)
    assert Event.objects.filter(type="task.queued").count() == QUEUE

    api = client_of(organization, Role.OPERATOR)
    queue = f"/api/v0/boards/{board.id}/queue?limit=200"
    rows = api.get(queue).json()["results"]
    assert [row["position"] for row in rows] == list(range(1, QUEUE + 1))
    told = Event.objects.filter(type="task.queued").order_by("execution__rank", "execution_id")
    assert [str(event.execution_id) for event in told] == [row["exec_id"] for row in rows]
    assert [event.data["position"] for event in told[LIMIT:]] == [
        # Told under the lock of the board, while the first ones were perhaps not admitted yet.
        pytest.approx(row["position"], abs=LIMIT)
        for row in rows[LIMIT:]
    ]

    most, waits = 0, [rows[-1]["estimated_wait_seconds"]]
    order = [row["exec_id"] for row in rows]
    while at_work := list(admitted.filter(status=Status.QUEUED).order_by("admitted_at", "pk")):
        most = max(most, admitted.count())
        complete(at_work[0])
        # However long it took here: what is estimated is made of how long the last ones lasted.
        begun = F("finished_at") - timedelta(minutes=1)
        Execution.objects.filter(pk=at_work[0].pk).update(started_at=begun)
        rows = api.get(queue).json()["results"]
        assert [row["exec_id"] for row in rows] == order[len(order) - len(rows) :]
        assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
        waits += [rows[-1]["estimated_wait_seconds"]] if rows else []
    sweep()
    assert most == LIMIT
    # Five minutes each before one has ended, and a minute each after it.
    assert waits == [QUEUE * 300 // LIMIT, *(n * 60 // LIMIT for n in range(QUEUE - 1, 0, -1))]
    assert Counter(Execution.objects.values_list("status", flat=True)) == {"completed": HELD}
