"""How a worker outside is told what is asked of its run, and how it leaves."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from agents.actions import pause_agent, unpause_agent
from agents.activity import SYSTEM
from agents.clock import ClockTimestamp
from agents.models import LiveWork
from agents.redis import client as redis_client
from executions import actions
from executions.configuration import Wish
from executions.engine.sweep import sweep
from executions.models import Event, Execution, Status
from executions.stream import channel
from tests.chaos import proof
from tests.executions.asking import refused
from tests.executions.polling import ByHand, a_remote_agent, a_remote_run, poll, worker_client
from tests.starting import an_organization

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def claimed() -> ByHand:
    organization = an_organization()
    a_remote_run(a_remote_agent(organization, max_turns=3, token_budget=100))
    return ByHand(worker_client(organization))


def reply(claimed: ByHand, **usage: int) -> dict[str, Any]:
    return claimed.told("entries", entries=[{"type": "llm_call", "text": "x", "usage": usage}])


def has_ended(claimed: ByHand, status: Status) -> None:
    assert claimed.row.status == status
    assert not LiveWork.objects.exists()
    proof.assert_no_permit_is_left()
    last = Event.objects.filter(execution=claimed.id).order_by("-seq").first()
    assert last is not None
    assert last.type == f"execution.{status}"


def test_it_completes(claimed: ByHand) -> None:
    told = claimed.told("complete", output={"a": [1, None]})
    assert (told["completed"], told["status"], told["lease_expires_at"]) == (
        True,
        "completed",
        None,
    )
    assert claimed.row.output == {"a": [1, None]}
    has_ended(claimed, Status.COMPLETED)


def test_it_fails(claimed: ByHand) -> None:
    claimed.told("fail", code="NO_PAPER", message="The tray is empty.", details={"tray": 2})
    row = claimed.row
    assert (row.failure_code, row.failure_message) == ("NO_PAPER", "The tray is empty.")
    assert row.failure_details == {"tray": 2}
    has_ended(claimed, Status.FAILED)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"message": "x", "code": "lower"},
        {"message": "x", "code": "A" * 61},
        {"message": "x", "details": {"message": 1}},
        {"message": "x", "details": {"claim": 1}},
    ],
)
def test_a_failure_that_cannot_be_is_refused(claimed: ByHand, body: dict[str, Any]) -> None:
    refused(claimed.send("fail", **body), 422, "VALIDATION_FAILED")


def test_an_output_has_to_fit_the_action() -> None:
    organization = an_organization()
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    act = {"count": {"prompt": "Count.", "output_schema": schema}}
    agent = a_remote_agent(organization, actions=act)
    actions.start(agent, Wish(action="count"), by=SYSTEM)
    claimed = ByHand(worker_client(organization))
    problem = refused(claimed.send("complete", output={"n": "1"}), 422, "OUTPUT_INVALID")
    assert problem["problems"][0].startswith("$.n: ")
    assert claimed.told("complete", output={"n": 1})["completed"] is True


# --- cancel


def test_a_cancel_is_told_and_ends_as_cancelled_however_it_leaves(claimed: ByHand) -> None:
    ways: list[tuple[str, dict[str, Any]]] = [
        ("complete", {"output": 1}),
        ("fail", {"message": "x"}),
        ("suspend", {"conditions": [{"kind": "timer", "seconds": 9}]}),
        ("release", {"as": "cancelled"}),
        ("release", {"as": "yielded"}),
        ("release", {"as": "paused"}),
    ]
    for call, body in ways:
        told = claimed.told("heartbeat")
        assert (told["cancel"], told["hard"]) == (False, False)
        actions.cancel(claimed.row, by=SYSTEM)
        told = claimed.told("heartbeat")
        assert (told["cancel"], told["hard"], told["pause"]) == (True, False, None)
        actions.cancel(claimed.row, by=SYSTEM, is_hard=True)
        assert claimed.told("heartbeat")["hard"] is True
        assert claimed.told(call, **body)["status"] == "cancelled"
        assert claimed.row.output is None
        has_ended(claimed, Status.CANCELLED)
        a_remote_run(claimed.row.agent)
        claimed = ByHand(claimed.client)


def test_a_worker_does_not_cancel_by_itself(claimed: ByHand) -> None:
    problem = refused(claimed.send("release", **{"as": "cancelled"}), 409, "EXECUTION_STATE")
    assert problem["execution_status"] == "running"
    claimed.told("heartbeat")


def test_a_cancelled_one_whose_worker_is_lost_is_ended_by_the_sweep(claimed: ByHand) -> None:
    actions.cancel(claimed.row, by=SYSTEM)
    Execution.objects.update(lease_expires_at=ClockTimestamp() - timedelta(seconds=1))
    sweep()
    has_ended(claimed, Status.CANCELLED)
    assert poll(claimed.client).status_code == 204


# --- pauses and limits


def test_a_persons_pause(claimed: ByHand) -> None:
    actions.pause(claimed.row, by=SYSTEM)
    assert claimed.told("heartbeat")["pause"] == "operator"
    told = claimed.told("release", **{"as": "paused"})
    assert (told["status"], claimed.row.pause_reason) == ("paused", "operator")
    assert poll(claimed.client).status_code == 204
    actions.resume(claimed.row, by=SYSTEM)
    assert ByHand(claimed.client).id == claimed.id


def test_a_pause_of_its_agent(claimed: ByHand) -> None:
    agent = claimed.row.agent
    assert agent is not None
    pause_agent(agent, by=SYSTEM)
    assert claimed.told("heartbeat")["pause"] == "agent"
    claimed.told("release", **{"as": "paused"})
    assert claimed.row.pause_reason == "agent"
    unpause_agent(agent, by=SYSTEM)
    sweep()
    assert ByHand(claimed.client).id == claimed.id


def test_the_turn_limit(claimed: ByHand) -> None:
    assert [reply(claimed)["pause"] for _ in range(3)] == [None, None, "turn_limit"]
    told = claimed.told("release", **{"as": "paused"})
    assert (told["status"], claimed.row.pause_reason) == ("paused", "turn_limit")
    actions.extend(claimed.row, by=SYSTEM, turns=1)
    other = ByHand(claimed.client)
    assert (other.claimed["turn"], other.claimed["remaining"]["turns"]) == (3, 1)


def test_a_limit_that_was_extended_meanwhile_does_not_pause(claimed: ByHand) -> None:
    reply(claimed, input_tokens=100)
    assert claimed.told("heartbeat")["pause"] == "budget"
    actions.extend(claimed.row, by=SYSTEM, tokens=50)
    told = claimed.told("release", **{"as": "paused"})
    assert told["status"] == "queued"
    assert ByHand(claimed.client).claimed["remaining"]["tokens"] == 50


def test_a_budget_of_tokens_and_of_time(claimed: ByHand) -> None:
    told = reply(claimed, input_tokens=60, output_tokens=39)
    assert (told["pause"], told["remaining"]["tokens"]) == (None, 1)
    told = reply(claimed, output_tokens=1)
    assert (told["pause"], told["remaining"]["tokens"]) == ("budget", 0)
    claimed.told("release", **{"as": "paused"})
    assert claimed.row.pause_reason == "budget"


def test_time_of_work_is_what_passes_between_calls(claimed: ByHand) -> None:
    Execution.objects.update(seconds_budget=100)
    earlier = ClockTimestamp() + timedelta(seconds=2 - 40)
    Execution.objects.update(lease_expires_at=earlier)
    told = claimed.told("heartbeat")
    assert 59 < told["remaining"]["seconds"] <= 60
    Execution.objects.update(lease_expires_at=earlier)
    claimed.say("x")
    Execution.objects.update(lease_expires_at=earlier)
    assert claimed.told("heartbeat")["pause"] == "budget"
    assert 119 < claimed.row.usage["seconds"] < 122


# --- yields


def test_a_yield_goes_back_to_its_place(claimed: ByHand) -> None:
    a_remote_run(claimed.row.agent)
    told = claimed.told("release", **{"as": "yielded"})
    assert (told["status"], told["lease_expires_at"]) == ("queued", None)
    again = ByHand(claimed.client)
    assert (again.id, claimed.row.recoveries) == (claimed.id, 0)


def test_a_pause_that_nothing_asks_for_is_a_yield(claimed: ByHand) -> None:
    assert claimed.told("release", **{"as": "paused"})["status"] == "queued"


# --- what watchers see


def test_pieces_are_published_and_not_kept(claimed: ByHand) -> None:
    before = Event.objects.count()
    heard = redis_client().pubsub(ignore_subscribe_messages=True)
    heard.subscribe(channel(claimed.id))
    heard.get_message(timeout=1)
    pieces = [
        {"kind": "token", "text": "Hel"},
        {"kind": "token", "text": "lo."},
        {"kind": "reset"},
        {"kind": "progress", "value": {"fraction": 0.5}},
    ]
    told = claimed.told("stream", pieces=pieces)
    assert told["status"] == "running"
    found = []
    while message := heard.get_message(timeout=1):
        found.append(json.loads(message["data"]))
    assert found == [
        {"token": "Hello.", "kind": "text", "turn": 0},
        {"token": "", "kind": "reset", "turn": 0},
        {"kind": "progress", "data": {"fraction": 0.5}, "turn": 0},
    ]
    assert Event.objects.count() == before
