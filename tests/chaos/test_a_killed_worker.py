"""A worker is killed: its runs go on elsewhere, and nothing that was committed happens again."""

from __future__ import annotations

import random
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from django.conf import settings

from agents.activity import SYSTEM
from agents.models import Agent
from executions import actions
from executions.configuration import Wish
from executions.models import CallStatus, Execution, Status, ToolCall, Worktree
from tests.chaos import proof
from tests.chaos.conftest import ROUNDS
from tests.chaos.fleet import Fleet, leave_to_the_spare, processes_with
from tests.chaos.held_model import HeldModel, tagged
from tests.chaos.pulse import Pulse
from tests.chaos.stops import Point, Stops
from tests.processes import ended, wait_until
from tests.starting import tool

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

ASKING = "asking"  # In the middle of a model call.
BASH_SLEEPS = "bash-sleeps"  # In the middle of a command that has done half of its work.
READING = "reading"  # In the middle of a tool that may be repeated.
KILL_POINTS = [ASKING, BASH_SLEEPS, READING, *(set(Point) - {Point.IN_TOOL})]
# From the commit of `running` to that of the outcome, nobody can know how a command ended.
UNKNOWN = {BASH_SLEEPS, Point.STARTED, Point.TOOL_ENDED, Point.KEEPING, Point.KEPT}
DOOMED_TURN = 2
EACH_WAVE = 3
# Beyond lease and sweep: the work of the sweep itself; more where other tests run beside us.
MARGIN = timedelta(seconds=1 if ROUNDS >= 20 else 4)


@dataclass
class Doomed:
    """An execution whose worker is killed at one point of its second turn."""

    execution: Execution
    tag: str
    point: str

    def is_there(self, model: HeldModel, stops: Stops) -> bool:
        if self.point == ASKING:
            return model.is_waited_for(self.tag, DOOMED_TURN)
        if self.point == BASH_SLEEPS:
            return "doomed" in _log_of(self.execution)
        point = Point.IN_TOOL if self.point == READING else Point(self.point)
        return bool(stops.standing(self.execution.id, DOOMED_TURN, point))


def _log_of(execution: Execution) -> str:
    """The file that the run's commands write, as it is in the worktree now."""
    path = Worktree.objects.filter(execution=execution).values_list("path", flat=True).first()
    log = Path(path or "/nonexistent") / "log.txt"
    return log.read_text() if log.exists() else ""


def _doom(agent: Agent, point: str, model: HeldModel, stops: Stops) -> Doomed:
    tag = f"doomed-{uuid4().hex}"
    command = "echo doomed >> log.txt" + (f"; sleep 40; : {tag}" if point == BASH_SLEEPS else "")
    prompt = tagged(
        tag,
        tool("Bash", command="echo before >> log.txt"),
        tool("Read", path="log.txt") if point == READING else tool("Bash", command=command),
        tool("Bash", command="echo after >> log.txt"),
        {"say": "done"},
    )
    execution = actions.start(agent, Wish(prompt=prompt), by=SYSTEM)
    if point == ASKING:
        model.hold(tag, DOOMED_TURN)
    elif point == READING:
        stops.arm(execution.id, DOOMED_TURN, Point.IN_TOOL)
    elif point != BASH_SLEEPS:
        stops.arm(execution.id, DOOMED_TURN, Point(point))
    return Doomed(execution, tag, point)


@pytest.mark.parametrize("wave", range(-(-ROUNDS // EACH_WAVE)))
def test_a_run_survives_a_kill_at_any_point_of_a_turn(
    wave: int, model: HeldModel, stops: Stops, workers: Fleet, pulse: Pulse
) -> None:
    each = min(EACH_WAVE, ROUNDS - wave * EACH_WAVE)
    agent = model.agent()
    doomed = [_doom(agent, point, model, stops) for point in KILL_POINTS for _ in range(each)]
    workers.spare(stops)
    victims = workers.add(stops, count=2, concurrency=-(-len(doomed) // 2))
    for one in doomed:
        wait_until(partial(one.is_there, model, stops))

    for victim in victims:
        victim.kill()
    rows = Execution.objects.values_list("id", "lease_expires_at")
    leases = {id_: at for id_, at in rows if at is not None}
    assert len(leases) == len(doomed)
    wait_until(lambda: not Execution.objects.filter(status=Status.RUNNING).exists())
    model.give_free()
    leave_to_the_spare()
    wait_until(lambda: ended(*(one.execution for one in doomed)), seconds=60)

    _assert_recovered_in_time(leases, pulse)
    for one in doomed:
        _assert_survived(one, model, stops)
    proof.assert_no_permit_is_left()


def _assert_recovered_in_time(leases: Mapping[UUID, datetime], pulse: Pulse) -> None:
    """Within lease and sweep of the last renewal, not counting what the machine stood still."""
    limit = settings.EXECUTION_LEASE + timedelta(seconds=settings.SWEEP_SECONDS) + MARGIN
    longest = max(proof.recovery_delays(leases))
    assert longest <= limit + pulse.stood_still, f"recovered after {longest}"


def _assert_survived(one: Doomed, model: HeldModel, stops: Stops) -> None:
    execution = one.execution
    proof.assert_completed([execution])
    assert execution.recoveries == 1
    assert execution.events.filter(type="execution.recovered").count() == 1
    proof.assert_nothing_ran_twice([execution], stops.effects())
    proof.assert_no_reply_was_asked_again(execution, one.tag, model)
    proof.assert_files_are_what_was_committed(execution)
    asked = [len(model.asked(one.tag, turn)) for turn in (1, 2, 3, 4)]
    assert asked == [1, 2 if one.point == ASKING else 1, 1, 1]
    _assert_told(one, model, ToolCall.objects.get(execution=execution, turn=DOOMED_TURN))
    assert not processes_with(one.tag), "its command outlived it"


def _assert_told(one: Doomed, model: HeldModel, call: ToolCall) -> None:
    """What the ledger and the model were told of the call that the kill hit."""
    if one.point in UNKNOWN:
        assert call.status == CallStatus.UNKNOWN
        assert "outcome is unknown" in call.output
        (next_request,) = model.asked(one.tag, DOOMED_TURN + 1)
        assert "outcome is unknown" in str(next_request.conversation()[-1])
        return
    assert call.status == CallStatus.COMPLETE
    assert call.runs == (2 if one.point == READING else 1)


def test_runs_survive_kills_at_any_moment(model: HeldModel, stops: Stops, workers: Fleet) -> None:
    """Not the points that we thought of: whatever the workers do when they are hit."""
    chance = random.Random(ROUNDS)  # noqa: S311  Moments, not secrets.
    agent, tags = model.agent(), [f"hit-{uuid4().hex}" for _ in range(6)]
    turns = [
        tool("Bash", command=f"echo word{n} >> log.txt; sleep 0.2") | {"delay": 0.2}
        for n in range(4)
    ]
    runs = [
        actions.start(agent, Wish(prompt=tagged(tag, *turns, {"say": "done"})), by=SYSTEM)
        for tag in tags
    ]
    workers.add(stops, concurrency=6)
    for _ in range(ROUNDS):
        wait_until(lambda: ended(*runs) or Execution.objects.filter(status=Status.RUNNING).exists())
        signal.sigtimedwait([], chance.uniform(0.2, 1.2))
        victim = chance.choice([worker for worker in workers.workers if worker.is_running])
        victim.kill()
        workers.add(stops, concurrency=6)
    wait_until(lambda: ended(*runs), seconds=120)

    proof.assert_completed(runs)
    proof.assert_nothing_ran_twice(runs, stops.effects())
    for run, tag in zip(runs, tags, strict=True):
        proof.assert_no_reply_was_asked_again(run, tag, model)
        proof.assert_files_are_what_was_committed(run)
        assert run.events.filter(type="execution.recovered").count() == run.recoveries
    # A kill between an end and the return of its permit leaves that to the reconciliation.
    proof.reconcile_now()
    proof.assert_no_permit_is_left()
