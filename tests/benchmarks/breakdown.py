"""The breakdown: where the time of one run goes, from its submit to its result and after."""

from __future__ import annotations

import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any, cast

from agents.redis import client
from tests.benchmarks import runs, tracing
from tests.benchmarks.figures import Report, Step
from tests.benchmarks.ground import TRACED, worker
from tests.starting import a_run

Totals = defaultdict[str, float]
Spent = dict[str, tuple[float, float]]
_COUNTS = ("PostgreSQL round trips", "Redis round trips")


def measure(report: Report, folder: Path, *, count: int, concurrency: int) -> None:
    """Carry out so many traced runs of each kind, one by one, and add their means.

    This process is traced from then on, so it comes last.
    """
    tracing.install_in_starter()
    kinds = {"no files": runs.PLAIN, "Glob": runs.READING, "Write": runs.WRITING}
    with worker(folder, concurrency=concurrency, **{TRACED: "1"}):
        for kind, turns in kinds.items():
            report.steps[kind] = _steps(turns, count)


def _steps(turns: list[dict[str, Any]], count: int) -> list[Step]:
    agent = runs.a_free_agent()
    hearing = runs.Hearing(runs.last_seq_of(agent, turns))
    for _ in range(5):
        runs.run_once(agent, turns, hearing)
    total: Totals = defaultdict(float)
    times: Totals = defaultdict(float)
    for _ in range(count):
        _add_one(agent, turns, hearing, total, times)
    hearing.close()
    order = sorted(total, key=_place)
    return [Step(n, total[n] * 1000 / count, times[n] / count) for n in order]


def _add_one(agent: Any, turns: Any, hearing: runs.Hearing, total: Totals, times: Totals) -> None:
    tracing.spans.reset()
    begun = time.monotonic()
    execution = a_run(agent, *turns)
    starter, sent = tracing.spans.as_json(), tracing.spans.marks["send"]
    hearing.wait_for_end(execution.id)
    heard = time.monotonic()
    told = _trace_of(str(execution.id))
    _count(total, times, _path(starter, told, begun, sent, heard))


def _trace_of(execution_id: str) -> dict[str, Any]:
    """What the worker tells of this run: it does so a moment after the run was heard to end."""
    while popped := cast("tuple[str, str] | None", client().blpop([tracing.TRACES], timeout=10)):
        told: dict[str, Any] = json.loads(popped[1])
        if told["id"] == execution_id:
            return told
    raise TimeoutError(f"the worker told nothing of {execution_id}")


def _path(
    starter: dict[str, Any], told: dict[str, Any], begun: float, sent: float, heard: float
) -> Spent:
    """Seconds and times of each step; the steps up to `heard` add up to the whole."""
    published, counts = told["published"], told["times"]
    dispatching = starter["seconds"].get("dispatch", 0.0)
    path: Spent = {
        "start: its transaction": (sent - begun - dispatching, 1),
        "start: dispatch, up to the message": (dispatching, 1),
        "broker: from the send to the task": (told["begun"] - sent, 1),
        "heard: from the publish to the caller": (heard - published["at"], 1),
    }
    before = published["seconds"]
    for name, spent in before.items():
        path[f"worker: {name}"] = (spent, published["times"][name])
    rest = published["at"] - told["begun"] - sum(before.values())
    path["worker: the rest of the engine"] = (rest, 1)
    path["afterwards: until the worker is free"] = (told["ended"] - published["at"], 1)
    for name in _COUNTS:
        path[f"counted: {name} of the start"] = (0, starter["times"].get(name, 0))
        path[f"counted: {name} of the worker"] = (0, counts.get(name, 0))
    return path


def _count(total: Totals, times: Totals, path: Spent) -> None:
    for name, (spent, often) in path.items():
        total[name] += spent
        times[name] += often


_ORDER = ("start", "broker", "worker", "heard", "afterwards", "counted")


def _place(name: str) -> tuple[int, str]:
    return _ORDER.index(name.split(":", maxsplit=1)[0]), name
