"""An agent at work is stopped, paused and resumed, and with it what it has at work."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Agent, LiveWork, Organization, Role
from boards.models import Board, Task
from executions import actions
from executions.configuration import Wish
from executions.engine import ends
from executions.engine.claim import Batch
from executions.models import Entry, Execution, PauseReason, Signal, Status
from tests.executions.asking import conforms, refused
from tests.executions.carrying import claimed, complete, drive
from tests.factories import (
    client_of,
    make_agent,
    make_board,
    make_organization,
    make_seat,
    make_task,
    make_user,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def board(organization: Organization) -> Board:
    return make_board(organization)


@pytest.fixture
def worker(board: Board) -> Agent:
    agent = make_seat(board, model="scripted:echo")
    Agent.objects.filter(pk=agent.pk).update(max_concurrency=None)
    return agent


def at(agent: Agent, control: str) -> str:
    return f"/api/v0/agents/{agent.slug}/{control}"


def a_run(agent: Agent) -> Execution:
    return actions.start(agent, Wish(prompt="x", board=agent.seat.board), by=SYSTEM)


def paused(agent: Agent, reason: PauseReason) -> Execution:
    run = a_run(agent)
    ends.pause(claimed(run), Batch(), reason)
    return run


def now(run: Execution) -> Execution:
    return Execution.objects.get(pk=run.pk)


def shown(answer: Any) -> dict[str, str]:
    assert answer.status_code == 200, answer.content
    return {each["exec_id"]: each["status"] for each in answer.json()["executions"]}


# --- stop --------------------------------------------------------------------------------------


def test_a_stop_cancels_what_it_has_at_work_and_leaves_the_task(
    api: APIClient, worker: Agent, board: Board
) -> None:
    task = make_task(board)
    running = actions.start(worker, Wish(prompt="x", task=task), by=SYSTEM)
    claimed(running)
    standing, queued = paused(worker, PauseReason.TURN_LIMIT), a_run(worker)
    ended, others = a_run(worker), a_run(make_seat(board))
    complete(ended)
    answer = api.post(at(worker, "stop"), {"reason": "Enough."})
    assert shown(answer) == {
        str(running.id): "cancelling",
        str(standing.id): "cancelled",
        str(queued.id): "cancelled",
    }
    assert {now(run).cancel_reason for run in (running, standing, queued)} == {"Enough."}
    assert (now(ended).status, now(others).status) == (Status.COMPLETED, Status.QUEUED)
    task.refresh_from_db()
    assert (task.status, task.assigned_agent) == ("in_progress", worker)
    schema = api.get("/api/v0/schema/", {"format": "json"}).json()
    conforms(schema, "AtWork", answer.json())


def test_a_key_stops_once(api: APIClient, worker: Agent) -> None:
    a_run(worker)
    key = {"Idempotency-Key": "k"}
    first, second = (api.post(at(worker, "stop"), {}, headers=key) for _ in range(2))
    assert first.json() == second.json()
    refused(api.post(at(worker, "stop")), 400, "AGENT_NOT_RUNNING")


# --- pause -------------------------------------------------------------------------------------


def test_a_pause_stands_until_the_agent_is_resumed(api: APIClient, worker: Agent) -> None:
    run = a_run(worker)
    answer = api.post(at(worker, "pause"))
    assert (answer.json()["is_paused"], shown(answer)) == (True, {str(run.id): "queued"})
    assert api.post(at(worker, "pause")).status_code == 200
    drive(run)
    assert (run.status, run.pause_reason) == (Status.PAUSED, PauseReason.AGENT)
    later = api.post(f"/api/v0/agents/{worker.slug}/executions/async", {"prompt": "y"}).json()
    assert later["queue"]["blocked_by"] == "agent_paused"
    answer = api.post(at(worker, "resume"))
    assert (answer.json()["is_paused"], shown(answer)[str(run.id)]) == (False, "queued")
    drive(run)
    assert run.status == Status.COMPLETED


# --- resume ------------------------------------------------------------------------------------


def test_feedback_reaches_what_stood_still_by_the_agent_or_a_person(
    api: APIClient, worker: Agent
) -> None:
    with_it, by_hand = paused(worker, PauseReason.AGENT), paused(worker, PauseReason.OPERATOR)
    Execution.objects.filter(pk=with_it.pk).update(turn=4)
    at_limit = paused(worker, PauseReason.TURN_LIMIT)
    going_on = a_run(worker)
    Agent.objects.filter(pk=worker.pk).update(is_paused=True)
    answer = api.post(at(worker, "resume"), {"feedback": "Use the new name."})
    assert answer.json()["count"] == 4
    for run in (with_it, by_hand):
        assert now(run).status == Status.QUEUED
        said = Entry.objects.filter(execution=run, type="injection").get()
        assert said.content == {"text": "Use the new name."}
    assert now(with_it).turn == 4
    assert now(at_limit).status == Status.PAUSED
    told = Signal.objects.filter(name="message").values_list("execution", "value__text")
    assert set(told) == {(run.id, "Use the new name.") for run in (at_limit, going_on)}


def test_what_a_person_paused_is_resumed_though_the_agent_was_not(
    api: APIClient, worker: Agent
) -> None:
    run, other = paused(worker, PauseReason.OPERATOR), a_run(worker)
    api.post(at(worker, "resume"), {"feedback": "Go on."})
    assert now(run).status == Status.QUEUED
    assert not Signal.objects.filter(execution=other).exists()


def test_a_resume_goes_through_the_queue(api: APIClient, worker: Agent, board: Board) -> None:
    run = paused(worker, PauseReason.OPERATOR)
    Board.objects.update(max_concurrent=1, max_queue=0)
    a_run(make_seat(board))
    shown(api.post(at(worker, "resume")))
    assert (now(run).status, now(run).admitted_epoch) == (Status.QUEUED, None)


def test_there_is_nothing_to_resume(api: APIClient, worker: Agent) -> None:
    refused(api.post(at(worker, "resume")), 400, "AGENT_NOT_RUNNING")
    a_run(worker)
    paused(worker, PauseReason.BUDGET)
    refused(api.post(at(worker, "resume")), 400, "AGENT_NOT_RUNNING")


@pytest.mark.parametrize("control", ["stop", "pause", "resume"])
def test_operators_of_the_organization_control_it(
    organization: Organization, worker: Agent, control: str
) -> None:
    a_run(worker)
    stranger = make_agent(make_organization())
    operator = client_of(organization, Role.OPERATOR, "run")
    refused(client_of(organization, Role.VIEWER).post(at(worker, control)), 403, "ROLE_TOO_LOW")
    keyed = client_of(organization, Role.OWNER, "boards")
    refused(keyed.post(at(worker, control)), 403, "SCOPE_MISSING")
    refused(operator.post(at(stranger, control)), 404, "AGENT_NOT_FOUND")
    refused(operator.post(at(worker, control), {"colour": "red"}), 422, "VALIDATION_FAILED")
    assert not Agent.objects.filter(is_paused=True).exists()
    assert LiveWork.objects.count() == 1


# --- the admin ---------------------------------------------------------------------------------


def test_the_admin_starts_stops_pauses_and_resumes(worker: Agent, board: Board) -> None:
    admin = Client()
    admin.force_login(make_user(is_staff=True, is_superuser=True))
    first, second = (make_task(board, assigned_agent=worker) for _ in range(2))

    def act(model: str, action: str, row: Agent | Task) -> str:
        chosen = {"action": action, "_selected_action": [str(row.pk)]}
        answer = admin.post(reverse(f"admin:{model}_changelist"), chosen)
        return [str(message) for message in get_messages(answer.wsgi_request)][-1]

    assert act("boards_task", "start", second) == "Tasks started: 1."
    assert act("agents_agent", "start", worker) == "Agents started: 1."
    assert set(Execution.objects.values_list("task", flat=True)) == {first.id, second.id}
    assert act("agents_agent", "pause", worker) == "Agents paused: 1."
    assert Agent.objects.get(pk=worker.pk).is_paused
    assert act("agents_agent", "unpause", worker) == "Agents resumed: 1."
    assert act("agents_agent", "stop", worker) == "Agents stopped: 1."
    assert not LiveWork.objects.exists()
    assert "nothing at work" in act("agents_agent", "stop", worker)
    assert "name an agent" in act("boards_task", "start", make_task(board))
