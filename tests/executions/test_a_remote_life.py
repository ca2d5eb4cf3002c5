"""An agent that a worker outside carries on over HTTP, from its start to its end."""

from __future__ import annotations

import signal
from datetime import timedelta

import pytest
from django.utils import timezone

from agents.activity import SYSTEM
from agents.models import Organization
from executions import actions, signals
from executions.engine.sweep import sweep
from executions.models import Checkpoint, Entry, Event, Execution, Signal, Status
from tests.chaos import proof
from tests.executions.polling import a_remote_agent, a_remote_run, reference_worker
from tests.processes import ended, wait_until
from tests.starting import an_organization
from tests.streaming import Server, a_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def organization() -> Organization:
    return an_organization()


@pytest.fixture
def server():
    with a_server() as server:
        yield server


def texts(run: Execution) -> list[str]:
    rows = Entry.objects.filter(execution=run).order_by("position")
    return [content["text"] for content in rows.values_list("content", flat=True)]


def is_in(status: Status, run: Execution):
    return lambda: Execution.objects.filter(pk=run.pk, status=status).exists()


def lapse(run: Execution) -> None:
    """Let the lease run out now, and be found.

    What the worker had sent when it was stopped may still renew the lease once.
    """
    run.refresh_from_db()
    held = Execution.objects.filter(pk=run.pk, status=Status.RUNNING, epoch=run.epoch)
    assert held.exists()

    def is_found() -> bool:
        held.update(lease_expires_at=timezone.now() - timedelta(seconds=1))
        sweep()
        return not held.exists()

    wait_until(is_found)


EVERYTHING = [
    "Greet.",
    "Step 1 is done.",
    "Step 2 is done.",
    "Step 3 is done.",
    "What is your name?",
    "Hello, Ada.",
]


def greeted(run: Execution) -> None:
    """It has ended well, and nothing of it is there twice or missing."""
    run.refresh_from_db()
    assert run.output == {"greeted": "Ada", "steps": 3}, (run.status, run.failure_message)
    said = texts(run)
    assert said[0].startswith("Greet.")
    assert said[1:] == EVERYTHING[1:]
    assert list(
        Checkpoint.objects.filter(execution=run)
        .order_by("sequence")
        .values_list("sequence", flat=True)
    ) == [1, 2, 3, 4]
    seqs = Event.objects.filter(execution=run).order_by("seq").values_list("seq", flat=True)
    assert list(seqs) == list(range(1, len(seqs) + 1))
    assert Signal.objects.get(execution=run).consumed_at is not None
    assert run.signals_pending == 0
    proof.assert_no_permit_is_left()


def test_a_worker_outside_carries_an_agent_on_to_its_end(
    organization: Organization, server: Server
) -> None:
    run = a_remote_run(a_remote_agent(organization), values={"steps": 3})
    with reference_worker(server.url, organization):
        wait_until(is_in(Status.WAITING, run))
        # It waits without a worker and without a permit.
        run.refresh_from_db()
        assert (run.claim_id, run.admitted_epoch) == (None, None)
        signals.send(run, name="name", value="Ada", by=SYSTEM)
        wait_until(lambda: ended(run))
    greeted(run)
    kinds = Event.objects.filter(execution=run).order_by("seq").values_list("type", flat=True)
    assert [kind for kind in kinds if kind.startswith("execution.")] == [
        "execution.queued",
        "execution.started",
        "execution.checkpoint",
        "execution.checkpoint",
        "execution.checkpoint",
        "execution.waiting",
        "execution.queued",
        "execution.resumed",
        "execution.checkpoint",
        "execution.completed",
    ]


def test_a_killed_worker_is_replaced_from_the_checkpoint(
    organization: Organization, server: Server
) -> None:
    run = a_remote_run(a_remote_agent(organization), values={"steps": 3, "seconds": 0.5})
    signals.send(run, name="name", value="Ada", by=SYSTEM)
    with reference_worker(server.url, organization) as first:
        wait_until(lambda: Checkpoint.objects.filter(execution=run, sequence=1).exists())
        first.kill()
        lapse(run)
        with reference_worker(server.url, organization) as second:
            wait_until(lambda: ended(run))
            run.refresh_from_db()
            assert (run.worker, run.recoveries) == (second.name, 1)
    greeted(run)


def test_a_stopped_worker_that_wakes_late_writes_nothing(
    organization: Organization, server: Server
) -> None:
    run = a_remote_run(a_remote_agent(organization), values={"steps": 3, "seconds": 0.5})
    signals.send(run, name="name", value="Ada", by=SYSTEM)
    with reference_worker(server.url, organization) as first:
        wait_until(lambda: Checkpoint.objects.filter(execution=run, sequence=1).exists())
        first.send(signal.SIGSTOP)
        lapse(run)
        with reference_worker(server.url, organization) as second:
            wait_until(lambda: Checkpoint.objects.filter(execution=run, sequence=2).exists())
            # While the second is at work.
            first.send(signal.SIGCONT)
            wait_until(lambda: ended(run))
            run.refresh_from_db()
            assert run.worker == second.name
        greeted(run)
        # The one that woke late polls again, and is of use.
        other = a_remote_run(a_remote_agent(organization), values={"steps": 3})
        signals.send(other, name="name", value="Ada", by=SYSTEM)
        wait_until(lambda: ended(other))
        other.refresh_from_db()
        assert other.worker == first.name


def test_a_cancel_reaches_it_with_its_next_heartbeat(
    organization: Organization, server: Server
) -> None:
    run = a_remote_run(a_remote_agent(organization), values={"steps": 1000, "seconds": 0.05})
    with reference_worker(server.url, organization):
        wait_until(is_in(Status.RUNNING, run))
        actions.cancel(run, by=SYSTEM)
        wait_until(lambda: ended(run))
    run.refresh_from_db()
    assert run.status == Status.CANCELLED


def test_a_pause_does_too_and_it_goes_on_where_it_stood(
    organization: Organization, server: Server
) -> None:
    run = a_remote_run(a_remote_agent(organization), values={"steps": 3, "seconds": 0.3})
    signals.send(run, name="name", value="Ada", by=SYSTEM)
    with reference_worker(server.url, organization):
        wait_until(is_in(Status.RUNNING, run))
        actions.pause(run, by=SYSTEM)
        wait_until(is_in(Status.PAUSED, run))
        run.refresh_from_db()
        assert run.pause_reason == "operator"
        actions.resume(run, by=SYSTEM)
        wait_until(lambda: ended(run))
    greeted(run)
