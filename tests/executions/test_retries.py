"""What has ended is retried afresh: a new execution of the same, once, where its task is free."""

from __future__ import annotations

from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Activity, Agent, LiveWork, Organization, Role
from boards.models import Board
from executions import actions
from executions.configuration import Wish
from executions.models import Entry, Event, Execution, Status
from tests.executions.asking import conforms, refused
from tests.executions.carrying import drive
from tests.factories import (
    all_at_once,
    client_of,
    make_agent,
    make_board,
    make_organization,
    make_task_for,
)

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/api/v0/executions/agents"


def retry(api: APIClient, run: Execution, key: str = "", body: Any = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return api.post(f"{LIST}/{run.id}/retry", body, headers=headers)


def ended(agent: Agent, **wish: Any) -> Execution:
    run = actions.start(agent, Wish(**({"prompt": "Do it."} | wish)), by=SYSTEM)
    return actions.cancel(run, by=SYSTEM)


def retried(answer: Any) -> Execution:
    assert answer.status_code == 202, answer.content
    return Execution.objects.get(pk=answer.json()["exec_id"])


def test_a_retry_is_the_same_afresh(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    task = make_task_for(agent)
    values = {"number": 7}
    wish = {"prompt": "", "action": "review", "values": values, "priority": 1}
    run = ended(agent, board=task.board, task=task, deadline_seconds=600, **wish)
    used = {"turn": 4, "max_turns": 99, "usage": {"requests": 4}, "recoveries": 2}
    Execution.objects.filter(pk=run.pk).update(**used)
    Agent.objects.filter(pk=agent.pk).update(soul="Another.", max_turns=3, actions={})

    answer = retry(api, run)

    again = retried(answer)
    assert answer.headers["Location"] == f"{LIST}/{again.id}"
    schema = api.get("/api/v0/schema/", {"format": "json"}).json()
    conforms(schema, "Accepted", answer.json())
    same = ("agent_id", "board_id", "task_id", "spec", "input", "priority", "kind", "agent_name")
    assert [getattr(again, name) for name in same] == [getattr(run, name) for name in same]
    assert (again.retry_of_id, again.turn, again.usage, again.recoveries) == (run.id, 0, {}, 0)
    assert again.max_turns == run.spec["max_turns"]
    assert again.deadline_at is not None
    assert 590 < (again.deadline_at - again.created_at).total_seconds() < 610
    (entry,), (first,) = (Entry.objects.filter(execution=each) for each in (again, run))
    assert (entry.position, entry.type, entry.content) == (1, first.type, first.content)
    (event,) = Event.objects.filter(execution=again)
    assert (event.seq, event.type, event.data) == (
        1,
        "execution.queued",
        {"retry_of": str(run.id)},
    )
    assert LiveWork.objects.get().execution_id == again.id
    line = Activity.objects.filter(execution_id=again.id).get()
    assert (line.type, line.actor_kind) == ("execution.queued", "key")
    document = api.get(answer.headers["Location"]).json()
    assert document["retry_of"] == str(run.id)
    conforms(schema, "Execution", document)


def test_a_retry_runs(api: APIClient, organization: Organization) -> None:
    agent = make_agent(organization, model="scripted:echo")
    again = retried(retry(api, ended(agent, prompt="Say it.")))
    drive(again)
    assert (again.status, again.output) == (Status.COMPLETED, "Say it.")


@pytest.mark.parametrize("status", [Status.QUEUED, Status.PAUSED])
def test_what_has_not_ended_is_not_retried(api: APIClient, agent: Agent, status: Status) -> None:
    run = actions.start(agent, Wish(prompt="Do it."), by=SYSTEM)
    if status == Status.PAUSED:
        actions.pause(run, by=SYSTEM)
    problem = refused(retry(api, run), 409, "EXECUTION_STATE")
    assert problem["execution_status"] == status
    assert problem["allowed"] == ["cancelled", "completed", "failed"]
    assert Execution.objects.count() == 1


def test_a_retry_with_a_key_starts_once(api: APIClient, agent: Agent) -> None:
    run = ended(agent)
    first, second = retry(api, run, "k"), retry(api, run, "k")
    assert first.json()["exec_id"] == second.json()["exec_id"]
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.headers["Location"] == first.headers["Location"]
    assert Execution.objects.filter(retry_of=run).count() == 1
    assert retry(api, run, "l").json()["exec_id"] != first.json()["exec_id"]


def test_a_blind_repeat_attaches_and_a_later_one_does_not(
    api: APIClient, agent: Agent, settings: Any
) -> None:
    run = ended(agent)
    assert retry(api, run).json()["exec_id"] == retry(api, run).json()["exec_id"]
    settings.EXECUTION_DEDUPE_SECONDS = 0
    retry(api, run)
    assert Execution.objects.filter(retry_of=run).count() == 2


def test_the_task_of_a_retry_is_free(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    task = make_task_for(agent)
    run = ended(agent, board=task.board, task=task)
    live = actions.start(agent, Wish(prompt="x", board=task.board, task=task), by=SYSTEM)
    problem = refused(retry(api, run), 409, "AGENT_ALREADY_RUNNING")
    assert problem["current_execution_id"] == str(live.id)
    assert problem["current_task_id"] == str(task.id)
    assert not Execution.objects.filter(retry_of=run).exists()


def test_of_two_retries_of_one_task_at_once_one_lives(
    organization: Organization, agent: Agent
) -> None:
    task = make_task_for(agent)
    runs = [ended(agent, board=task.board, task=task) for _ in range(2)]
    clients = [client_of(organization, Role.OPERATOR) for _ in range(6)]
    calls = [partial(retry, api, runs[n % 2]) for n, api in enumerate(clients)]
    answers = all_at_once(*calls)
    assert sorted(answer.status_code for answer in answers) == [202, 409, 409, 409, 409, 409]
    assert LiveWork.objects.count() == 1
    assert Execution.objects.filter(retry_of__isnull=False).count() == 1


def test_a_retry_keeps_to_the_limit_of_its_board(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    board = make_board(organization, max_concurrent=1)
    Board.objects.filter(pk=board.pk).update(max_queue=1)
    run = ended(agent, board=board)
    for _ in range(2):
        actions.start(agent, Wish(prompt="x", board=board), by=SYSTEM)
    assert refused(retry(api, run), 429, "QUEUE_FULL")["max_size"] == 1


def test_an_agent_that_has_come_to_run_itself_is_not_retried(api: APIClient, agent: Agent) -> None:
    run = ended(agent)
    Agent.objects.filter(pk=agent.pk).update(kind="external")
    refused(retry(api, run), 409, "AGENT_RUNS_ITSELF")


def test_a_retry_outlives_its_agent(api: APIClient, agent: Agent) -> None:
    run = ended(agent)
    agent.delete()
    again = retried(retry(api, run))
    assert (again.agent_id, again.agent_name, again.spec) == (None, run.agent_name, run.spec)


def test_who_may_not_run_may_not_retry(organization: Organization, agent: Agent) -> None:
    run = ended(agent)
    refused(retry(client_of(organization, Role.VIEWER), run), 403, "ROLE_TOO_LOW")
    refused(retry(client_of(organization, Role.OWNER, "read"), run), 403, "SCOPE_MISSING")
    refused(retry(client_of(make_organization(), Role.OWNER), run), 404, "NOT_FOUND")
    assert retry(client_of(organization, Role.OWNER, "run"), run).status_code == 202


def test_a_retry_asks_for_nothing_more(api: APIClient, agent: Agent) -> None:
    run = ended(agent)
    refused(retry(api, run, body={"prompt": "x"}), 422, "VALIDATION_FAILED")
    refused(api.post(f"{LIST}/{uuid4()}/retry"), 404, "NOT_FOUND")
