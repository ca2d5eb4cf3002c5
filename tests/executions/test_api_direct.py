"""An agent is run directly over REST: waited for or not, once for a key, refused as documented."""

from __future__ import annotations

from typing import Any

import pytest
from rest_framework.test import APIClient

from agents.activity import SYSTEM
from agents.models import Agent, Organization
from executions import actions
from executions.models import Execution, Status
from tests.executions.asking import conforms, refused, url
from tests.executions.carrying import (
    a_worker,
    carrying_on,
    claimed,
    complete,
    fail,
    pause,
    sleep,
)
from tests.factories import make_agent, make_board, make_task_for

pytestmark = pytest.mark.django_db(transaction=True)

# --- asynchronous ------------------------------------------------------------------------------


def test_an_asynchronous_start_is_accepted_and_says_where_to_look(
    api: APIClient, agent: Agent
) -> None:
    answer = api.post(url(agent, "/async"), {"prompt": "Hello."})

    assert answer.status_code == 202
    execution = Execution.objects.get()
    where = f"/api/v0/executions/agents/{execution.id}"
    assert answer.headers["Location"] == where
    assert answer.json() == {
        "exec_id": str(execution.id),
        "exec_url": where,
        "status": "queued",
    }
    assert api.get(where).json()["input"] == {"prompt": "Hello."}
    assert execution.agent == agent


def test_an_agent_is_named_by_its_id_too(api: APIClient, agent: Agent) -> None:
    assert api.post(url(str(agent.id), "/async"), {"prompt": "Hello."}).status_code == 202


def test_an_asynchronous_start_needs_no_worker_and_ignores_its_timeout(
    api: APIClient, agent: Agent
) -> None:
    answer = api.post(url(agent, "/async"), {"prompt": "Hello.", "timeout": "for ever"})
    assert answer.status_code == 202


def test_what_is_queued_is_told_its_place(api: APIClient, organization: Organization) -> None:
    board = make_board(organization, max_concurrent=1)
    agent = make_agent(organization, max_concurrency=None)
    places = [
        api.post(url(agent, "/async"), {"prompt": f"{n}", "board": str(board.id)}).json()
        for n in range(3)
    ]

    assert "queue" not in places[0]
    assert [place["queue"]["position"] for place in places[1:]] == [1, 2]
    assert places[1]["queue"]["blocked_by"] == "board"
    assert places[2]["queue"]["estimated_wait_seconds"] == 600


def test_the_agent_works_on_the_board_of_its_seat(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    from boards.models import Seat

    board = make_board(organization)
    Seat.objects.create(agent=agent, board=board)

    api.post(url(agent, "/async"), {"prompt": "On its board."})
    api.post(url(agent, "/async"), {"prompt": "On none.", "board": None})

    assert set(Execution.objects.values_list("board", flat=True)) == {board.id, None}


def test_a_task_brings_its_board(api: APIClient, organization: Organization, agent: Agent) -> None:
    task = make_task_for(agent)

    api.post(url(agent, "/async"), {"prompt": "Do it.", "task": str(task.id)})

    execution = Execution.objects.get()
    assert (execution.task, execution.board) == (task, task.board)


# --- synchronous -------------------------------------------------------------------------------


def test_a_synchronous_start_answers_with_the_output(api: APIClient, agent: Agent) -> None:
    a_worker()
    with carrying_on(lambda execution: complete(execution, {"answer": 42})):
        answer = api.post(url(agent), {"action": "review", "with": {"number": 7}, "timeout": 20})

    assert answer.status_code == 200
    assert answer.json() == {
        "exec_id": str(Execution.objects.get().id),
        "output": {"answer": 42},
        "status": "completed",
        "usage": {
            "requests": 2,
            "input_tokens": 30,
            "output_tokens": 7,
            "cached_tokens": 5,
            "by_model": [
                {
                    "model": "scripted:play",
                    "requests": 2,
                    "input_tokens": 30,
                    "output_tokens": 7,
                    "cached_tokens": 5,
                }
            ],
        },
    }


@pytest.mark.parametrize("step", [complete, fail, pause])
def test_what_a_synchronous_start_answers_is_as_the_schema_says(
    api: APIClient, agent: Agent, step: Any
) -> None:
    a_worker()
    with carrying_on(step):
        answer = api.post(url(agent), {"prompt": "Do it.", "timeout": 20})
    conforms(api.get("/api/v0/schema/", {"format": "json"}).json(), "Result", answer.json())


def test_what_does_not_end_in_time_is_408_and_goes_on(api: APIClient, agent: Agent) -> None:
    a_worker()
    problem = refused(
        api.post(url(agent), {"prompt": "Slow.", "timeout": 1}), 408, "REQUEST_TIMEOUT"
    )

    execution = Execution.objects.get()
    assert problem["exec_id"] == str(execution.id)
    assert problem["execution_status"] == "queued"
    assert problem["retryable"] is True
    assert execution.status == Status.QUEUED


def test_a_timeout_is_answered_with_the_status_at_its_end(api: APIClient, agent: Agent) -> None:
    a_worker()
    with carrying_on(claimed):
        answer = api.post(url(agent), {"prompt": "Slow.", "timeout": 2})

    assert refused(answer, 408, "REQUEST_TIMEOUT")["execution_status"] == "running"


def test_a_repeat_after_a_timeout_waits_for_the_same_execution(
    api: APIClient, agent: Agent
) -> None:
    a_worker()
    asked = {"prompt": "Slow.", "timeout": 1}
    api.post(url(agent), asked, headers={"Idempotency-Key": "k"})
    complete(Execution.objects.get())

    answer = api.post(url(agent), asked, headers={"Idempotency-Key": "k"})

    assert (answer.status_code, answer.json()["output"]) == (200, "done")
    assert answer.headers["Idempotency-Replayed"] == "true"
    assert Execution.objects.count() == 1


def test_a_failure_is_200_and_says_how(api: APIClient, agent: Agent) -> None:
    a_worker()
    with carrying_on(fail):
        answer = api.post(url(agent), {"prompt": "Fail.", "timeout": 20})

    assert answer.status_code == 200
    assert answer.json()["status"] == "failed"
    assert answer.json()["failure"] == {
        "code": "MODEL_ERROR",
        "message": "It is down.",
        "details": {},
    }


def test_a_pause_is_200_with_its_reason(api: APIClient, agent: Agent) -> None:
    a_worker()
    with carrying_on(pause):
        answer = api.post(url(agent), {"prompt": "Long.", "timeout": 20})

    assert answer.status_code == 200
    found = answer.json()
    assert (found["status"], found["pause_reason"]) == ("paused", "turn_limit")


def test_a_cancelled_one_is_200_with_its_reason(api: APIClient, agent: Agent) -> None:
    a_worker()
    with carrying_on(lambda execution: actions.cancel(execution, by=SYSTEM, reason="No need.")):
        answer = api.post(url(agent), {"prompt": "Long.", "timeout": 20})

    assert answer.status_code == 200
    found = answer.json()
    assert (found["status"], found["cancel_reason"]) == ("cancelled", "No need.")


def test_what_waits_for_something_is_202(api: APIClient, agent: Agent) -> None:
    a_worker()
    with carrying_on(sleep):
        answer = api.post(url(agent), {"prompt": "Long.", "timeout": 20})

    assert answer.status_code == 202
    assert answer.json()["status"] == "waiting"
    assert answer.headers["Location"] == answer.json()["exec_url"]
    document = api.get(answer.json()["exec_url"]).json()
    assert document["wait"]["conditions"][0]["reason"] == "model_busy"


def test_a_refused_start_does_not_burn_its_key(api: APIClient, agent: Agent) -> None:
    asked, key = {"prompt": "Hello.", "timeout": 20}, {"Idempotency-Key": "k"}
    refused(api.post(url(agent), asked, headers=key), 503, "WORKER_UNAVAILABLE")
    a_worker()

    with carrying_on(complete):
        answer = api.post(url(agent), asked, headers=key)

    assert answer.status_code == 200
    assert "Idempotency-Replayed" not in answer.headers


# --- once --------------------------------------------------------------------------------------


def test_a_repeat_of_an_asynchronous_start_is_answered_the_same(
    api: APIClient, agent: Agent
) -> None:
    first, second = (
        api.post(url(agent, "/async"), {"prompt": "Hello."}, headers={"Idempotency-Key": "k"})
        for _ in range(2)
    )
    assert first.json() == second.json()
    assert (second.status_code, second.headers["Idempotency-Replayed"]) == (202, "true")
    assert second.headers["Location"] == first.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers


def test_equal_starts_in_a_row_are_one_without_a_key(api: APIClient, agent: Agent) -> None:
    answers = [api.post(url(agent, "/async"), {"prompt": "Hello."}) for _ in range(2)]
    answers.append(api.post(url(agent, "/async"), {"prompt": "Hello!"}))
    ids = [answer.json()["exec_id"] for answer in answers]
    assert ids[0] == ids[1] != ids[2]


def test_another_body_under_the_same_key_is_422(api: APIClient, agent: Agent) -> None:
    key = {"Idempotency-Key": "k"}
    first = api.post(url(agent, "/async"), {"prompt": "One."}, headers=key).json()
    answer = api.post(url(agent, "/async"), {"prompt": "Two."}, headers=key)
    problem = refused(answer, 422, "IDEMPOTENCY_MISMATCH")
    assert problem["exec_id"] == first["exec_id"]
