"""A claim that is gone writes nothing, whatever it calls and however it was lost."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from agents.activity import SYSTEM
from agents.clock import ClockTimestamp
from executions import actions, signals
from executions.engine.sweep import sweep
from executions.models import (
    Checkpoint,
    Condition,
    Entry,
    Event,
    Execution,
    Job,
    Signal,
    Status,
    Step,
    ToolCall,
)
from tests.executions.asking import refused
from tests.executions.polling import ByHand, a_remote_agent, a_remote_run, worker_client
from tests.executions.test_dispatch_access import CALLS, LOOKS
from tests.factories import all_at_once
from tests.starting import an_organization

pytestmark = pytest.mark.django_db(transaction=True)

ROWS = (Entry, Checkpoint, Event, Job, Step, ToolCall, Condition)


@pytest.fixture
def claimed() -> ByHand:
    organization = an_organization()
    signals.send(a_remote_run(a_remote_agent(organization)), name="x", by=SYSTEM)
    return ByHand(worker_client(organization))


def lapse(claimed: ByHand) -> None:
    """Let the lease run out now, and be found."""
    past = ClockTimestamp() - timedelta(seconds=1)
    Execution.objects.filter(pk=claimed.id).update(lease_expires_at=past)
    sweep()


def standing(claimed: ByHand) -> Any:
    """All that is written of an execution."""
    counts = [rows.objects.count() for rows in ROWS]
    row = Execution.objects.filter(pk=claimed.id).values().get()
    return counts, row, list(Signal.objects.values("reserved_by", "consumed_at"))


@pytest.mark.parametrize("call", CALLS)
def test_a_lost_claim_is_refused_while_another_is_at_work(claimed: ByHand, call: str) -> None:
    lapse(claimed)
    other = ByHand(claimed.client)
    assert other.id == claimed.id
    before = standing(claimed)
    problem = refused(claimed.send(call, **CALLS[call]), 409, "SUPERSEDED")
    assert problem["execution_status"] == "running"
    assert standing(claimed) == before
    other.told("complete")


@pytest.mark.parametrize("call", CALLS)
def test_it_is_refused_before_anybody_has_taken_over(claimed: ByHand, call: str) -> None:
    lapse(claimed)
    before = standing(claimed)
    problem = refused(claimed.send(call, **CALLS[call]), 409, "SUPERSEDED")
    assert problem["execution_status"] == "queued"
    assert standing(claimed) == before


def test_the_epoch_of_a_row_that_nobody_has_claimed_names_no_claim(claimed: ByHand) -> None:
    lapse(claimed)
    claimed.epoch = claimed.row.epoch
    for call, body in CALLS.items():
        refused(claimed.send(call, **body), 409, "SUPERSEDED")
    for look in LOOKS:
        refused(claimed.get(look), 409, "SUPERSEDED")


@pytest.mark.parametrize("call", CALLS)
def test_it_is_refused_after_the_end(claimed: ByHand, call: str) -> None:
    claimed.told("complete")
    before = standing(claimed)
    problem = refused(claimed.send(call, **CALLS[call]), 409, "SUPERSEDED")
    assert problem["execution_status"] == "completed"
    assert standing(claimed) == before


@pytest.mark.parametrize("look", LOOKS)
def test_a_lost_claim_reads_nothing(claimed: ByHand, look: str) -> None:
    lapse(claimed)
    refused(claimed.get(look), 409, "SUPERSEDED")


@pytest.mark.parametrize("look", LOOKS)
def test_a_look_says_which_claim_asks(claimed: ByHand, look: str) -> None:
    url = f"/api/v0/dispatch/{claimed.id}/{look}"
    refused(claimed.client.get(url), 422, "VALIDATION_FAILED")
    refused(claimed.client.get(url, {"epoch": "x"}), 422, "VALIDATION_FAILED")
    refused(claimed.client.get(url, {"epoch": 1, "y": 1}), 400, "UNKNOWN_PARAMETER")


def test_the_run_goes_on_from_where_the_lost_claim_stood(claimed: ByHand) -> None:
    claimed.say("one")
    claimed.told("checkpoints", sequence=1, state={"at": 1})
    lapse(claimed)
    other = ByHand(claimed.client, worker="there")
    assert other.claimed["checkpoint"]["state"] == {"at": 1}
    assert other.claimed["recoveries"] == 1
    assert other.claimed["leaf"] == str(Entry.objects.order_by("position").last().pk)


def test_workers_that_are_lost_too_often_end_it(claimed: ByHand) -> None:
    Execution.objects.update(recoveries=5)
    lapse(claimed)
    assert (claimed.row.status, claimed.row.failure_code) == (Status.FAILED, "WORKER_LOST")


def test_a_lease_that_ran_out_unnoticed_still_holds(claimed: ByHand) -> None:
    # Nobody has taken over, and the worker was only late.
    past = ClockTimestamp() - timedelta(seconds=1)
    Execution.objects.filter(pk=claimed.id).update(lease_expires_at=past)
    claimed.told("heartbeat")
    sweep()
    assert claimed.row.status == Status.RUNNING


def test_every_write_renews_the_lease(claimed: ByHand) -> None:
    for call in ("heartbeat", "entries", "checkpoints", "signals/consume"):
        soon = ClockTimestamp() + timedelta(seconds=0.2)
        Execution.objects.filter(pk=claimed.id).update(lease_expires_at=soon)
        told = claimed.told(call, **CALLS[call])
        row = claimed.row
        assert told["lease_expires_at"] == row.lease_expires_at.isoformat().replace("+00:00", "Z")
        left = Execution.objects.filter(
            pk=claimed.id, lease_expires_at__gt=ClockTimestamp() + timedelta(seconds=1.5)
        )
        assert left.exists(), call


def test_the_claim_and_a_cancel_at_once_end_in_one_way(claimed: ByHand) -> None:
    answers = all_at_once(
        lambda: claimed.send("complete", output=1),
        lambda: actions.cancel(claimed.row, by=SYSTEM),
    )
    row = claimed.row
    if row.status == Status.COMPLETED:
        assert isinstance(answers[1], Exception)
    else:
        assert (row.status, row.output) == (Status.CANCELLED, None)
        assert answers[0].json()["status"] == "cancelled"


def test_a_deadline_that_passes_ends_it_though_it_gives_signs(claimed: ByHand) -> None:
    Execution.objects.update(deadline_at=ClockTimestamp() - timedelta(seconds=1))
    claimed.told("heartbeat")
    sweep()
    assert (claimed.row.status, claimed.row.failure_code) == (Status.FAILED, "TIMED_OUT")
    problem = refused(claimed.send("heartbeat"), 409, "SUPERSEDED")
    assert problem["execution_status"] == "failed"
