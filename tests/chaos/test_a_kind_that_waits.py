"""Workers are told to stop, or killed, under a kind that works and waits: its end is the same."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from agents.activity import SYSTEM
from executions import signals
from executions.models import Execution, Signal, Status, Step
from tests.chaos import proof
from tests.chaos.conftest import ROUNDS
from tests.chaos.fleet import Fleet, Victim
from tests.executions.kinds import an_agent_of, begun
from tests.executions.waiting import LEGS, MODULE
from tests.processes import ended, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

TRAVELLERS = 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_journey_ends_the_same_whatever_happens_to_its_workers(
    number: int, workers: Fleet, tmp_path: Path
) -> None:
    chance = random.Random(number)  # noqa: S311  Moments, not secrets.
    logs = [tmp_path / f"{n}.log" for n in range(TRAVELLERS)]
    agent = an_agent_of("t.journey")
    runs = [begun(agent, {"log": str(log)}) for log in logs]
    workers.add(SIGNALBOX_MODULES=MODULE)
    for _ in range(ROUNDS):
        signal.sigtimedwait([], chance.uniform(0.1, 1.0))
        (victim,) = (worker for worker in workers.workers if worker.is_running)
        _tell(runs)
        _end(victim, number)
        workers.add(SIGNALBOX_MODULES=MODULE)
    _tell(runs, LEGS)
    wait_until(lambda: ended(*runs), seconds=90)

    for run, log in zip(runs, logs, strict=True):
        run.refresh_from_db()
        assert (run.status, run.output) == (Status.COMPLETED, list(range(LEGS)))
        _assert_no_finished_leg_was_walked_again(run, log, gently=number == signal.SIGTERM)
    proof.reconcile_now()
    proof.assert_no_permit_is_left()


def _tell(runs: list[Execution], legs: int = 1) -> None:
    """Tell each how to go on, so many legs further than it has been told."""
    for run in runs:
        known = Signal.objects.filter(execution=run).count()
        for leg in range(known, min(known + legs, LEGS)):
            signals.send(run, name="go", value=leg, by=SYSTEM)


def _end(victim: Victim, number: int) -> None:
    if number == signal.SIGKILL:
        victim.kill()
    else:
        assert victim.stop() == 0


def _assert_no_finished_leg_was_walked_again(run: Execution, log: Path, *, gently: bool) -> None:
    """Whoever is told to stop ends the step that is under way: even that is walked once."""
    walked = [line.split() for line in log.read_text().splitlines()]
    for leg in range(LEGS):
        step = Step.objects.get(execution=run, key=f"leg-{leg}")
        began = [float(at) for number, at in walked if int(number) == leg]
        assert step.finished_at is not None
        assert began
        assert max(began) < step.finished_at.timestamp()
        assert len(began) == 1 or not gently
    if gently:
        assert run.recoveries == 0
