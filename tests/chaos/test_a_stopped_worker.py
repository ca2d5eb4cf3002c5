"""A worker stands still past its leases and wakes: what others went on with, it leaves alone."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from agents.activity import SYSTEM
from agents.models import Activity, Agent
from executions import actions
from executions.configuration import Wish
from executions.models import (
    Checkpoint,
    Entry,
    Event,
    Execution,
    Status,
    ToolCall,
    Worker,
    Worktree,
)
from executions.worktrees import places
from tests.chaos import proof
from tests.chaos.fleet import Fleet, leave_to_the_spare, processes_with
from tests.chaos.held_model import HeldModel, tagged
from tests.chaos.stops import Point, Stops
from tests.processes import ended, wait_until
from tests.starting import tool

pytestmark = [pytest.mark.chaos, pytest.mark.django_db(transaction=True)]

ASKING = "asking"
BASH_WRITES = "bash-writes"
LATE_POINTS = [
    ASKING,
    BASH_WRITES,
    Point.REPLIED,
    Point.STARTED,
    Point.TOOL_ENDED,
    Point.KEEPING,
    Point.KEPT,
]
LATE_TURN = 2


@dataclass
class Late:
    """An execution that its worker left off in the middle of its second turn."""

    execution: Execution
    tag: str
    point: str

    @property
    def held_turn(self) -> int:
        """Where the successor waits for the model, its own worktree open if it can be."""
        return LATE_TURN if self.point == ASKING else LATE_TURN + 2

    def is_there(self, model: HeldModel, stops: Stops) -> bool:
        if self.point == ASKING:
            return model.is_waited_for(self.tag, LATE_TURN)
        if self.point == BASH_WRITES:
            return bool(processes_with(self.tag))
        return bool(stops.standing(self.execution.id, LATE_TURN, Point(self.point)))

    def is_taken_over(self, model: HeldModel, stops: Stops) -> bool:
        if self.point == Point.REPLIED:
            return stops.standing(self.execution.id, LATE_TURN, Point.REPLIED) == 2
        asked = model.asked(self.tag, self.held_turn)
        return len(asked) == (2 if self.point == ASKING else 1)


def _start(agent: Agent, point: str, model: HeldModel, stops: Stops) -> Late:
    tag = f"late-{uuid4().hex}"
    writes = f"while : {tag}; do echo late >> log.txt; sleep 0.05; done"
    command = writes if point == BASH_WRITES else "echo late >> log.txt"
    prompt = tagged(
        tag,
        tool("Bash", command="echo before >> log.txt"),
        tool("Bash", command=command),
        tool("Bash", command="echo after >> log.txt"),
        {"say": "done"},
    )
    one = Late(actions.start(agent, Wish(prompt=prompt), by=SYSTEM), tag, point)
    model.hold(tag, one.held_turn)
    if point not in (ASKING, BASH_WRITES):
        stops.arm(one.execution.id, LATE_TURN, Point(point))
    return one


def test_a_worker_that_wakes_late_writes_neither_rows_nor_files(
    model: HeldModel, stops: Stops, workers: Fleet
) -> None:
    agent = model.agent()
    late = [_start(agent, point, model, stops) for point in LATE_POINTS]
    (sleeper,) = workers.add(stops)
    successor = workers.spare(stops)
    for one in late:
        wait_until(partial(one.is_there, model, stops))
    wait_until(lambda: _runs_of(sleeper.pid) == len(late))

    sleeper.stand_still()
    wait_until(lambda: not Execution.objects.filter(status=Status.RUNNING).exists())
    for one in late:
        if one.point == Point.REPLIED:
            # Its successor stands there too, or the call would be begun by the time of the waking.
            stops.arm(one.execution.id, LATE_TURN, Point.REPLIED)
    leave_to_the_spare()
    wait_until(lambda: all(one.is_taken_over(model, stops) for one in late), seconds=60)
    before = {one.point: _everything(one.execution) for one in late}
    stops.let_go(sleeper.pid)
    sleeper.go_on()
    wait_until(lambda: _runs_of(sleeper.pid) == 0)
    for one in late:
        assert _everything(one.execution) == before[one.point], one.point

    model.give_free()
    stops.let_go(successor.pid)
    wait_until(lambda: ended(*(one.execution for one in late)), seconds=60)
    for one in late:
        _assert_only_the_successor_worked(one, model, stops)
    proof.assert_no_permit_is_left()


def _runs_of(pid: int) -> int:
    return Worker.objects.values_list("running", flat=True).get(pid=pid)


def _assert_only_the_successor_worked(one: Late, model: HeldModel, stops: Stops) -> None:
    proof.assert_completed([one.execution])
    assert one.execution.recoveries == 1
    proof.assert_nothing_ran_twice([one.execution], stops.effects())
    proof.assert_files_are_what_was_committed(one.execution)
    proof.assert_no_reply_was_asked_again(one.execution, one.tag, model)
    call = ToolCall.objects.get(execution=one.execution, turn=LATE_TURN)
    # Neither before the commit of `running` nor after it does a worker begin what it lost.
    began = 0 if one.point == Point.STARTED else 1
    assert stops.effects()[str(call.id)] == began
    assert not processes_with(one.tag), "its command outlived its lease"


def _everything(execution: Execution) -> dict[str, Any]:
    """All that is kept of an execution: rows, refs and the files of its worktree.

    But for the lease, which its holder renews while it waits.
    """
    rows: dict[str, Any] = {
        model.__name__: list(model.objects.filter(execution_id=execution.id).values())
        for model in (Entry, Event, ToolCall, Checkpoint, Worktree, Activity)
    }
    (whole,) = Execution.objects.filter(pk=execution.pk).values()
    row = {name: value for name, value in whole.items() if name != "lease_expires_at"}
    worktree = rows["Worktree"][0]
    git_dir = places.git_dir_of(worktree["repository"], execution.organization_id)
    refs = subprocess.run(
        ["git", "--git-dir", str(git_dir), "for-each-ref"],
        capture_output=True,
        text=True,
        check=True,
    )
    top = Path(worktree["path"])
    files = {
        str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()
    }
    return rows | {"Execution": row, "refs": refs.stdout, "files": files}
