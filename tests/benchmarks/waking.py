"""Waking: how soon a run that waits goes on when it is told, and how fast it takes steps."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

from agents.activity import SYSTEM, Actor
from agents.models import ActorKind
from boards.actions import decide_approval
from boards.models import Approval
from executions import actions, signals
from executions.configuration import Wish
from executions.models import Execution, Job, Status
from tests.benchmarks import kinds, runs
from tests.benchmarks.figures import Figure, Report, percentile
from tests.benchmarks.ground import poll_until, worker
from tests.benchmarks.runs import Hearing
from tests.starting import a_board

PART = "waking"
AIM_MILLISECONDS = 100.0
WARM_UP = 5
AT_ONCE = 8
_STEPS_A_RUN = 50
_EVER = 2**31
_ADA = Actor(ActorKind.MEMBER, uuid4(), "Ada")


def measure(report: Report, folder: Path, *, count: int, concurrency: int) -> None:
    """Add how long it takes from the word to the claim, and steps per second."""
    with worker(folder, concurrency=concurrency):
        for kind, name, tell in (
            (kinds.HEARS, "signal to resumed", _signal),
            (kinds.ASKS, "approval to resumed", _decide),
        ):
            times = _times(kind, tell, count + WARM_UP)[WARM_UP:]
            for label, share, aim in (("p50", 0.5, AIM_MILLISECONDS), ("p99", 0.99, None)):
                value = percentile(times, share) * 1000
                what = "told to claimed by a worker, which had neither run nor permit"
                report.add(Figure(PART, f"{name}, {label}", value, "ms", what, aim))
        _add_jobs(report, count)
        what = "each begun and finished, two commits to the disk"
        report.add(
            Figure(PART, "steps, one run", _steps_a_second(1), "per s", what),
            Figure(PART, f"steps, {AT_ONCE} runs at once", _steps_a_second(AT_ONCE), "per s", what),
        )


def _add_jobs(report: Report, count: int) -> None:
    """Add how long a job takes from its schedule until the run that joins it goes on."""
    run = _begun(kinds.SENDS, count + WARM_UP)
    poll_until(lambda: Execution.objects.get(pk=run.pk).status == Status.COMPLETED)
    turns = Job.objects.filter(execution=run).order_by("created_at")
    begun = [*turns.values_list("created_at", flat=True)][WARM_UP:]
    ends = [*begun[1:], Execution.objects.get(pk=run.pk).finished_at]
    times = [(end - start).total_seconds() for start, end in zip(begun, ends, strict=True) if end]
    what = "scheduled, run, settled, the run that joins it claimed again"
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        value = percentile(times, share) * 1000
        report.add(Figure(PART, f"job round trip, {label}", value, "ms", what))


def _times(kind: str, tell: Callable[[Execution], int], count: int) -> list[float]:
    """Seconds from each word to the publish that says: the run was claimed."""
    run = _begun(kind, count)
    with contextlib.closing(Hearing(_EVER)) as hearing:
        return [_time(run, tell, hearing) for _ in range(count)]


def _time(run: Execution, tell: Callable[[Execution], int], hearing: Hearing) -> float:
    waits = Execution.objects.filter(pk=run.pk, status=Status.WAITING)
    poll_until(waits.exists, every=0.002)
    run.refresh_from_db(fields=["event_seq"])
    hearing.catch_up()
    begun = time.monotonic()
    events = tell(run)
    # Then it is queued, and claimed.
    hearing.wait_for(run.id, run.event_seq + events + 2)
    return time.monotonic() - begun


def _signal(run: Execution) -> int:
    """Send a signal, which is one event."""
    signals.send(run, name="go", by=SYSTEM)
    return 1


def _decide(run: Execution) -> int:
    """Decide what it asks; the decision is an event of the board's, not of the run's."""
    (asked,) = Approval.objects.filter(execution_id=run.id, status="pending")
    decide_approval(asked, approve=True, by=_ADA)
    return 0


def _steps_a_second(at_once: int) -> float:
    going = [_begun(kinds.STEPS, _STEPS_A_RUN) for _ in range(at_once)]
    rows = Execution.objects.filter(pk__in=[run.pk for run in going])
    poll_until(lambda: not rows.exclude(status=Status.COMPLETED).exists())
    ends = [(row.started_at, row.finished_at) for row in rows]
    first = min(start for start, _ in ends if start)
    last = max(end for _, end in ends if end)
    return at_once * _STEPS_A_RUN / (last - first).total_seconds()


def _begun(kind: str, count: int) -> Execution:
    agent = runs.a_free_agent(kind=kind)
    board = a_board(agent.organization, max_concurrent=None)
    return actions.start(agent, Wish(values={"count": count}, board=board), by=SYSTEM)
