"""An execution says why it is not running, to people in sentences and to programs in facts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import uuid4

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from agents.activity import SYSTEM, Actor
from agents.models import ActorKind, Agent, Organization
from agents.remote import place
from boards.models import Board
from executions import actions, pollers, states
from executions.configuration import Wish
from executions.explanation import Because
from executions.models import Condition, Event, Execution, PauseReason, Status
from tests.executions.asking import conforms
from tests.executions.carrying import a_worker
from tests.factories import counted_queries, make_agent, make_board, make_organization
from tests.starting import an_agent

pytestmark = pytest.mark.django_db

ADA = Actor(ActorKind.MEMBER, uuid4(), "Ada")


@pytest.fixture(autouse=True)
def _schema(db: None) -> None:
    schema()


def a_run(agent: Agent, **wish: Any) -> Execution:
    return actions.start(agent, Wish(prompt="Do it.", **wish), by=SYSTEM)


def explained(api: APIClient, run: Execution) -> dict[str, Any]:
    answer = api.get(f"/api/v0/executions/agents/{run.id}/explain")
    assert answer.status_code == 200, answer.content
    document: dict[str, Any] = answer.json()
    conforms(schema(), "Explanation", document)
    return document


@cache
def schema() -> Any:
    """Made once: it takes seconds, after which a worker of these tests counts as silent."""
    return APIClient().get("/api/v0/schema/", {"format": "json"}).json()


def codes(document: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in document["reasons"]]


def admitted(run: Execution) -> Execution:
    Execution.objects.filter(pk=run.pk).update(admitted_epoch=0, admitted_at=timezone.now())
    run.refresh_from_db()
    return run


def running(run: Execution, *, lease: timedelta = timedelta(minutes=1), **fields: Any) -> Execution:
    admitted(run)
    Execution.objects.filter(pk=run.pk).update(
        status=Status.RUNNING,
        claim_id=uuid4(),
        worker="here:1",
        lease_expires_at=timezone.now() + lease,
        **fields,
    )
    run.refresh_from_db()
    return run


# --- queued ------------------------------------------------------------------------------------


def test_a_full_board_is_named_with_its_limit_and_its_holders(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    a_worker()
    board = make_board(organization, name="Repairs", max_concurrent=2)
    holders = [admitted(a_run(agent, board=board)) for _ in range(2)]
    a_run(agent, board=board)
    run = a_run(agent, board=board)

    document = explained(api, run)

    assert codes(document) == ["board_full"]
    assert document["summary"] == (
        "Its board Repairs has 2 of 2 executions at work. "
        "It goes on when one of them leaves, or the limit is raised."
    )
    assert document["queue"]["position"] == 2
    limits = {limit["scope"]: limit for limit in document["limits"]}
    board_limit = limits["board"]
    assert (board_limit["id"], board_limit["limit"], board_limit["held"]) == (str(board.id), 2, 2)
    assert [holder["exec_id"] for holder in board_limit["holders"]] == [
        str(holder.id) for holder in holders
    ]
    assert board_limit["holders"][0]["agent_name"] == agent.name


@pytest.mark.parametrize("scope", ["organization", "agent"])
def test_a_full_agent_or_organization_is_named(
    api: APIClient, organization: Organization, agent: Agent, scope: str
) -> None:
    a_worker()
    Agent.objects.update(max_concurrency=1 if scope == "agent" else None)
    Organization.objects.update(max_concurrent=1 if scope == "organization" else None)
    admitted(a_run(make_agent(make_organization(), max_concurrency=None)))
    holder, run = admitted(a_run(agent)), a_run(agent)
    document = explained(api, run)
    assert codes(document) == [f"{scope}_full"]
    (limit,) = (each for each in document["limits"] if each["is_full"])
    assert (limit["scope"], limit["held"]) == (scope, 1)
    assert [each["exec_id"] for each in limit["holders"]] == [str(holder.id)]


def test_what_is_paused_above_it_is_named(
    api: APIClient, organization: Organization, agent: Agent
) -> None:
    a_worker()
    run = a_run(agent, board=make_board(organization, name="Repairs"))
    Agent.objects.update(is_paused=True)
    Board.objects.update(is_paused=True)
    document = explained(api, run)
    assert codes(document) == ["agent_paused", "board_paused"]
    assert f"Its agent {agent.name} is paused." in document["summary"]
    assert "It goes on when the board is resumed." in document["summary"]


def test_a_queue_that_no_worker_serves_is_named(api: APIClient, agent: Agent) -> None:
    a_worker("others")
    a_worker("executions", silent_for=timedelta(minutes=5))
    run = a_run(agent)
    document = explained(api, run)
    assert codes(document) == ["no_worker"]
    assert "No live worker takes work of the queue executions." in document["summary"]
    assert codes(explained(api, admitted(run))) == ["no_worker"]


def test_a_kind_that_no_worker_of_the_queue_has_is_named(api: APIClient, agent: Agent) -> None:
    a_worker(kinds=["letters 2"])
    run = a_run(agent)
    document = explained(api, run)
    assert codes(document) == ["kind_missing"]
    assert "No live worker of the queue executions has the kind react." in document["summary"]
    Execution.objects.filter(pk=run.pk).update(kind="letters", kind_version="2")
    assert codes(explained(api, admitted(run))) == ["admitted"]


def test_a_place_where_nobody_polls_is_named(api: APIClient, agent: Agent) -> None:
    a_worker()
    run = a_run(an_agent(agent.organization, kind="remote:billing"))
    document = explained(api, run)
    assert codes(document) == ["no_worker"]
    assert "No worker outside polls for remote:billing" in document["summary"]
    named = (agent.organization_id, "remote:billing", "executions")
    pollers.give_sign(agent.organization_id, "billing-1", [place(*named)])
    assert codes(explained(api, admitted(run))) == ["admitted"]


def test_a_permit_without_a_free_thread_is_told(api: APIClient, agent: Agent) -> None:
    worker = a_worker(concurrency=2, running=2)
    run = admitted(a_run(agent))
    assert codes(explained(api, run)) == ["workers_busy"]
    worker.running = 1
    worker.save()
    assert codes(explained(api, run)) == ["admitted"]


def test_who_only_stands_in_line_is_told_so(api: APIClient, agent: Agent) -> None:
    a_worker()
    Organization.objects.update(max_concurrent=9)
    first, second, third = (a_run(agent) for _ in range(3))
    assert explained(api, first)["summary"].startswith("It is queued, and next;")
    assert explained(api, second)["summary"] == "It is queued, and another stands before it."
    assert explained(api, third)["summary"] == "It is queued, and 2 others stand before it."
    assert codes(explained(api, third)) == ["in_line"]


# --- with a worker -----------------------------------------------------------------------------


def test_a_running_one_names_its_worker_and_lease(api: APIClient, agent: Agent) -> None:
    a_worker()
    run = running(a_run(agent), turn=4)
    document = explained(api, run)
    assert document["summary"] == "It is at work in turn 5, on the worker here:1."
    assert document["worker"]["name"] == "here:1"
    assert document["worker"]["is_alive"]
    assert 50 < document["worker"]["lease_seconds_left"] <= 60
    actions.pause(run, by=ADA)
    document = explained(api, run)
    assert codes(document) == ["running", "pause_requested"]
    assert "Ada asked it to pause" in document["summary"]


def test_a_lost_lease_and_recoveries_are_told(api: APIClient, agent: Agent) -> None:
    a_worker(silent_for=timedelta(minutes=5))
    run = running(a_run(agent), lease=timedelta(seconds=-30), recoveries=2)
    Event.objects.create(
        execution=run, seq=2, type="execution.recovered", data={"worker": "there:9"}
    )
    document = explained(api, run)
    assert codes(document) == ["lease_lost"]
    assert "ended 30 s ago" in document["summary"]
    assert document["worker"]["is_alive"] is False
    assert document["worker"]["lease_seconds_left"] < -29
    assert document["recoveries"] == {"count": 2, "limit": 5}
    assert document["last_failure"]["message"] == "Its worker there:9 was lost."
    assert document["last_failure"]["code"] == "WORKER_LOST"


def test_a_cancel_under_way_names_who_and_why(api: APIClient, agent: Agent) -> None:
    a_worker()
    run = running(a_run(agent))
    actions.cancel(run, by=ADA, reason="No need.")
    document = explained(api, run)
    assert document["summary"] == "Ada cancelled it (No need.); its worker is to end it."
    assert document["asked_by"]["name"] == "Ada"


# --- waiting, paused ---------------------------------------------------------------------------


def waiting(agent: Agent, *conditions: dict[str, Any], mode: str = "any") -> Execution:
    run = running(a_run(agent))
    assert states.move(run, Status.WAITING, event="execution.waiting", wait_mode=mode)
    for condition in conditions:
        Condition.objects.create(execution=run, wait_number=1, **condition)
    return run


def test_what_it_waits_for_is_told_with_what_is_met(api: APIClient, agent: Agent) -> None:
    job, due = uuid4(), timezone.now() + timedelta(hours=1)
    run = waiting(
        agent,
        {"kind": "signal", "name": "go"},
        {"kind": "job", "target_id": job, "met_at": timezone.now()},
        {"kind": "timer", "due_at": due, "reason": "model_busy"},
        mode="all",
    )
    document = explained(api, run)
    assert codes(document) == ["waiting"]
    text = document["reasons"][0]["text"]
    assert text.startswith("It waits for all of these: ")
    for part in (
        "the signal go",
        f"the end of job {job} (met)",
        f"{due:%Y-%m-%d %H:%M:%S} UTC (model busy)",
    ):
        assert part in text
    assert document["wait"]["mode"] == "all"
    assert document["next_attempt_at"] == due.isoformat().replace("+00:00", "Z")


def test_one_condition_is_a_plain_sentence(api: APIClient, agent: Agent) -> None:
    run = waiting(agent, {"kind": "signal", "name": "go"})
    assert explained(api, run)["summary"] == "It waits for the signal go."


def test_a_pause_names_who_and_what_would_let_it_go_on(api: APIClient, agent: Agent) -> None:
    run = actions.pause(a_run(agent), by=ADA)
    document = explained(api, run)
    assert codes(document) == ["paused_by_person"]
    assert document["reasons"][0]["text"].startswith("Ada paused it at ")
    assert document["reasons"][0]["goes_on"] == "It goes on when somebody resumes it."
    assert document["asked_by"] == {"kind": "member", "id": str(ADA.id), "name": "Ada"}


def test_a_pause_that_a_worker_carried_out_is_still_its_askers(
    api: APIClient, agent: Agent
) -> None:
    run = running(a_run(agent))
    actions.pause(run, by=ADA)
    assert states.move(run, Status.PAUSED, event="execution.paused", pause_reason="operator")
    assert explained(api, run)["reasons"][0]["text"].startswith("Ada paused it at ")


def test_an_earlier_pause_is_nobodys_any_more(api: APIClient, agent: Agent) -> None:
    bob = Actor(ActorKind.MEMBER, uuid4(), "Bob")
    run = actions.pause(a_run(agent), by=bob)
    actions.resume(run, by=bob)
    run = running(run)
    actions.pause(run, by=ADA)
    assert states.move(run, Status.PAUSED, event="execution.paused", pause_reason="operator")
    document = explained(api, run)
    assert document["asked_by"]["name"] == "Ada"
    assert document["reasons"][0]["text"].startswith("Ada paused it at ")
    last = Event.objects.filter(execution=run, type="execution.paused").latest("seq")
    assert document["since"] == last.created_at.isoformat().replace("+00:00", "Z")


@pytest.mark.parametrize(
    ("reason", "code", "text"),
    [
        (PauseReason.AGENT, "agent_paused", "is paused."),
        (PauseReason.TURN_LIMIT, "turn_limit", "It has had 3 of 3 turns."),
        (
            PauseReason.BUDGET,
            "budget",
            "It has used 12 of 10 tokens and 1.5 of 60 seconds of work.",
        ),
    ],
)
def test_other_pauses_say_what_they_wait_for(
    api: APIClient, agent: Agent, reason: PauseReason, code: str, text: str
) -> None:
    used = {"input_tokens": 7, "output_tokens": 5, "seconds": 1.5}
    run = running(a_run(agent), turn=3, max_turns=3, token_budget=10, seconds_budget=60, usage=used)
    assert states.move(run, Status.PAUSED, event="execution.paused", pause_reason=reason)
    document = explained(api, run)
    assert codes(document) == [code]
    assert document["reasons"][0]["text"].endswith(text)
    assert document["reasons"][0]["goes_on"].startswith("It goes on when")


# --- ended -------------------------------------------------------------------------------------


def test_an_end_says_how(api: APIClient, agent: Agent) -> None:
    done, bad = running(a_run(agent), turn=2), running(a_run(agent))
    assert states.move(done, Status.COMPLETED, event="execution.completed", output="x")
    assert states.move(
        bad,
        Status.FAILED,
        event="execution.failed",
        failure_code="MODEL_ERROR",
        failure_message="It is down.",
    )
    gone = actions.cancel(a_run(agent), by=ADA, reason="No need.")

    assert explained(api, done)["summary"].endswith(", after 2 turns.")
    document = explained(api, bad)
    assert "with MODEL_ERROR: It is down." in document["summary"]
    assert document["last_failure"]["code"] == "MODEL_ERROR"
    document = explained(api, gone)
    assert document["summary"].startswith("Ada cancelled it at ")
    assert "(No need.). A retry" in document["summary"]
    assert document["asked_by"]["name"] == "Ada"


STATES: dict[str, Callable[[Agent], Execution]] = {
    "queued": a_run,
    "running": lambda agent: running(a_run(agent)),
    "waiting": lambda agent: waiting(agent, {"kind": "signal", "name": "go"}),
    "paused": lambda agent: actions.pause(a_run(agent), by=ADA),
    "cancelled": lambda agent: actions.cancel(a_run(agent), by=ADA),
}


@pytest.mark.parametrize("state", STATES)
def test_an_explanation_costs_the_same_whatever_there_is(
    api: APIClient, organization: Organization, agent: Agent, state: str
) -> None:
    Organization.objects.update(max_concurrent=2)
    admitted(a_run(agent)), admitted(a_run(agent))
    run, costs = STATES[state](agent), []
    for count in (1, 9):
        for number in range(count):
            a_worker("executions")
            admitted(a_run(agent))
            seq = 100 * count + number
            Event.objects.create(execution=run, seq=seq, type="execution.paused")
            if state == "waiting":
                Condition.objects.create(execution=run, wait_number=1, kind="signal", name="go")
        explained(api, run)
        with counted_queries() as asked:
            api.get(f"/api/v0/executions/agents/{run.id}/explain")
        costs.append(len(asked))
    assert costs[0] == costs[1] <= 16
    texts = [query["sql"] for query in asked.captured_queries]
    assert not [sql for sql in texts if '"spec"' in sql or '"diff"' in sql]


def test_every_reason_is_in_the_schema(api: APIClient) -> None:
    schema = api.get("/api/v0/schema/", {"format": "json"}).json()
    reason = schema["components"]["schemas"]["Reason"]["properties"]["code"]
    named = (
        reason.get("enum") or schema["components"]["schemas"][reason["$ref"].split("/")[-1]]["enum"]
    )
    assert sorted(named) == sorted(each.value for each in Because)
