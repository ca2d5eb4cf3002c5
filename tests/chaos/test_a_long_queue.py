"""A queue far longer than the limit: its order is kept, nobody runs beyond it, nobody starves."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from uuid import uuid4

import pytest
from django.conf import settings
from django.db import connection, connections
from django.db.models import F

from agents.activity import SYSTEM
from agents.models import Agent
from boards.models import Board
from executions import actions
from executions.configuration import Wish
from executions.engine import permits
from executions.engine.dispatch import dispatch
from executions.models import Execution, Status
from tests.chaos import proof
from tests.chaos.fleet import Fleet
from tests.chaos.held_model import HeldModel, tagged
from tests.chaos.sampler import Sampler
from tests.processes import ended, wait_until
from tests.starting import a_board, a_run, an_agent, an_organization

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

LIMIT = 3
LENGTH = 200

# A trigger sees every admission in the order in which they were made: a queue is walked by one
# dispatcher at a time. Rows of one statement have no order among themselves, and share its `at`.
_WATCH = """
CREATE TABLE chaos_admission (n bigserial, execution_id uuid, at timestamptz);
CREATE FUNCTION chaos_admitted() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO chaos_admission (execution_id, at) VALUES (new.id, statement_timestamp());
  RETURN NULL;
END $$;
CREATE TRIGGER chaos_admitted AFTER UPDATE OF admitted_epoch ON executions_execution
  FOR EACH ROW WHEN (old.admitted_epoch IS NULL AND new.admitted_epoch IS NOT NULL)
  EXECUTE FUNCTION chaos_admitted();
"""
_FORGET = """
DROP TRIGGER chaos_admitted ON executions_execution;
DROP FUNCTION chaos_admitted;
DROP TABLE chaos_admission;
"""


@contextmanager
def admissions_watched() -> Iterator[None]:
    """Note every admission for as long as the block runs."""
    with connection.cursor() as cursor:
        cursor.execute(_WATCH)
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute(_FORGET)


@contextmanager
def reconciling_all_the_time() -> Iterator[None]:
    """Make the sets of Redis from the rows as often as that goes, instead of once a minute."""
    over = threading.Event()

    def reconcile() -> None:
        while not over.wait(0.01):
            permits.rebuild()
        connections.close_all()

    thread = threading.Thread(target=reconcile)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _admitted() -> list[object]:
    """The executions in the order of their admission; those of one statement by their place."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT execution_id FROM chaos_admission JOIN executions_execution e "
            "ON e.id = execution_id ORDER BY at, e.rank, e.id"
        )
        return [row[0] for row in cursor.fetchall()]


def test_200_queued_executions_are_admitted_in_order_three_at_a_time(workers: Fleet) -> None:
    organization = an_organization()
    board = a_board(organization, max_concurrent=LIMIT, max_queue=LENGTH, is_paused=True)
    agents = [an_agent(organization) for _ in range(3)]
    chance = random.Random(LENGTH)  # noqa: S311  A mixture, no secret.
    runs = [
        a_run(chance.choice(agents), {"say": "x"}, board=board, priority=chance.randint(1, 5))
        for _ in range(LENGTH)
    ]
    workers.add(concurrency=8)
    # What an admission acquired and has not committed must not be taken for a leftover.
    with admissions_watched(), reconciling_all_the_time(), Sampler() as sampler:
        Board.objects.update(is_paused=False)
        dispatch(organization.id)
        wait_until(lambda: proof.have_ended(runs), seconds=120)
        admitted = _admitted()

    proof.assert_completed(runs)
    expected = sorted(runs, key=lambda run: (run.priority, run.created_at))
    assert admitted == [run.id for run in expected]
    assert 1 < sampler.most <= LIMIT
    assert 1 < proof.most_at_once(runs) <= LIMIT
    proof.assert_no_permit_is_left()


def test_a_low_priority_is_not_starved_by_a_flow_of_high_ones(
    model: HeldModel, workers: Fleet
) -> None:
    organization = an_organization()
    board = a_board(organization, max_concurrent=1)
    agent = model.agent(organization)
    high = _held_run(agent, board, model, priority=1)
    low = _held_run(agent, board, model, priority=5)
    workers.add(concurrency=2)
    step, waited, overtaken_by = settings.EXECUTION_AGEING / 2, timedelta(), 0
    while high is not low:
        # A fresh one of the highest priority is waiting whenever the permit becomes free.
        fresh = _held_run(agent, board, model, priority=1)
        _let_time_pass(step)
        waited += step
        model.give_free(_tag_of(high))
        wait_until(partial(ended, high))
        wait_until(partial(_is_one_admitted, fresh, low))
        high = low if _is_one_admitted(low) else fresh
        overtaken_by += 1

    # Four steps of priority are four intervals of age: before that it waits, and no longer.
    assert 4 * settings.EXECUTION_AGEING - step <= waited <= 4 * settings.EXECUTION_AGEING + step
    assert overtaken_by >= 6
    model.give_free()
    wait_until(lambda: not Execution.objects.exclude(status=Status.COMPLETED).exists())


def _held_run(agent: Agent, board: Board, model: HeldModel, *, priority: int) -> Execution:
    """An execution that runs until its answer is given free."""
    tag = f"{uuid4()}"
    model.hold(tag, turn=1)
    wish = Wish(prompt=tagged(tag, {"say": "done"}), board=board, priority=priority)
    return actions.start(agent, wish, by=SYSTEM)


def _tag_of(execution: Execution) -> str:
    return str(json.loads(execution.input["prompt"])["tag"])


def _is_one_admitted(*executions: Execution) -> bool:
    ids = [execution.pk for execution in executions]
    return Execution.objects.filter(pk__in=ids, admitted_epoch__isnull=False).exists()


def _let_time_pass(time: timedelta) -> timedelta:
    """Everything that waits has waited so much longer."""
    Execution.objects.filter(status=Status.QUEUED).update(
        queued_at=F("queued_at") - time, rank=F("rank") - time
    )
    return time
