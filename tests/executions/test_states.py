"""The table of moves: every pair of states, and what each move leaves behind."""

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from uuid_utils.compat import uuid7

from executions import states
from executions.models import TERMINAL, Event, Execution, Status
from tests.starting import a_run, an_agent

pytestmark = pytest.mark.django_db

# The design's table, written down a second time on purpose: from → to.
ALLOWED = {
    ("queued", "running"), ("queued", "paused"), ("queued", "cancelled"), ("queued", "failed"),
    ("running", "queued"), ("running", "waiting"), ("running", "paused"),
    ("running", "cancelling"), ("running", "completed"), ("running", "failed"),
    ("waiting", "queued"), ("waiting", "paused"), ("waiting", "cancelled"),
    ("waiting", "failed"),
    ("paused", "queued"), ("paused", "waiting"), ("paused", "cancelled"),
    ("paused", "completed"),
    ("cancelling", "cancelled"),
}  # fmt: skip
PAIRS = [(a, b) for a in Status for b in Status]


def in_state(status: Status) -> Execution:
    """An execution whose row is in this state, put there past all guards but the database's."""
    row = a_run(an_agent(), {"say": "x"})
    fields: dict[str, object] = {"status": status}
    if status in (Status.RUNNING, Status.CANCELLING):
        now = timezone.now()
        fields |= {"claim_id": uuid7(), "lease_expires_at": now, "admitted_epoch": 0}
        fields |= {"cancel_requested_at": now}
    if status == Status.PAUSED:
        fields |= {"pause_reason": "operator"}
    if status == Status.FAILED:
        fields |= {"failure_code": "AGENT_ERROR"}
    if status in TERMINAL:
        fields |= {"finished_at": timezone.now()}
    Execution.objects.filter(pk=row.pk).update(**fields)
    row.refresh_from_db()
    return row


def needed(to: Status) -> dict[str, object]:
    """What the database asks of a row in the state it moves to."""
    claim = {"claim_id": uuid7(), "lease_expires_at": timezone.now(), "admitted_epoch": 0}
    return {
        Status.RUNNING: claim,
        Status.CANCELLING: {"cancel_requested_at": timezone.now()},
        Status.PAUSED: {"pause_reason": "operator"},
        Status.FAILED: {"failure_code": "AGENT_ERROR"},
    }.get(to, {})


@pytest.mark.parametrize(("frm", "to"), PAIRS)
def test_a_move_is_made_exactly_where_the_design_allows_it(frm: Status, to: Status) -> None:
    row = in_state(frm)
    epoch, seq = row.epoch, row.event_seq
    moved = states.move(row, to, event=f"execution.{to}", **needed(to))
    row.refresh_from_db()
    assert moved == ((frm, to) in ALLOWED)
    assert row.status == (to if moved else frm)
    assert row.epoch == epoch + (moved and to != Status.CANCELLING)
    assert row.event_seq == seq + moved
    assert Event.objects.filter(execution=row, seq=row.event_seq).count() == 1


@pytest.mark.parametrize("to", [Status.QUEUED, Status.WAITING, Status.COMPLETED, Status.FAILED])
def test_leaving_a_worker_leaves_claim_lease_and_permit_behind(to: Status) -> None:
    row = in_state(Status.RUNNING)
    assert states.move(row, to, event="x", **needed(to))
    assert (row.claim_id, row.lease_expires_at, row.admitted_epoch) == (None, None, None)


def test_a_move_guarded_by_another_claim_changes_nothing() -> None:
    row = in_state(Status.RUNNING)
    guard = {"epoch": row.epoch, "claim_id": uuid7()}
    assert not states.move(row, Status.COMPLETED, event="x", guard=guard)
    row.refresh_from_db()
    assert row.status == Status.RUNNING


@pytest.mark.parametrize(
    "fields",
    [
        {"status": "running"},
        {"claim_id": uuid7()},
        {"status": "completed"},
        {"status": "failed", "finished_at": timezone.now()},
        {"status": "paused"},
        {"status": "paused", "pause_reason": "operator", "admitted_epoch": 0},
        {"failure_code": "X"},
        {"finished_at": timezone.now()},
        {"status": "asleep"},
        {"priority": 6},
    ],
    ids=" ".join,
)
def test_the_database_refuses_a_row_that_cannot_be(fields: dict[str, object]) -> None:
    row = a_run(an_agent(), {"say": "x"})
    with pytest.raises(IntegrityError), transaction.atomic():
        Execution.objects.filter(pk=row.pk).update(**fields)
