"""One by one: how long a caller waits for a durable run, beside what it is made of."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import connection

from tests.benchmarks import runs, tasks
from tests.benchmarks.figures import Figure, Report, percentile
from tests.benchmarks.ground import worker

WARM_UP = 10
PART = "one by one"
_KINDS: dict[str, tuple[list[dict[str, Any]], str]] = {
    "durable run": (runs.PLAIN, "three turns, two with a tool without files; as many commits"),
    "durable run, Glob": (runs.READING, "the same in a worktree of its own, only read"),
    "durable run, Write": (runs.WRITING, "the same, each tool writes a file that is kept; diff"),
}


def measure(report: Report, folder: Path, *, count: int, concurrency: int) -> int:
    """Add the figures of this part; returns how many commits a durable run has."""
    with worker(folder, concurrency=concurrency), contextlib.ExitStack() as stack:
        number = _commits_of_a_run()
        kinds = {
            "bare Celery task": lambda: runs.send_once(tasks.BARE),
            "plain commits": lambda: runs.send_once(tasks.COMMITS, number),
            **{name: _run(turns, stack) for name, (turns, _) in _KINDS.items()},
        }
        times = _in_turns(kinds, count)
    bare = times["bare Celery task"]
    _add(report, "bare Celery task", bare, "sent to done, by Redis; no result backend", None)
    what = f"a task of {number} commits, all to the disk"
    _add(report, "plain commits", times["plain commits"], what, bare)
    for name, (_, what) in _KINDS.items():
        _add(report, name, times[name], what, bare, aim=3.0 if name == "durable run" else None)
    ratio = percentile(times["durable run"], 0.5) / percentile(times["plain commits"], 0.5)
    report.add(Figure(PART, "durable run / plain commits, p50", ratio, "times", ""))
    return number


def _run(turns: list[dict[str, Any]], stack: contextlib.ExitStack) -> Callable[[], float]:
    """One durable run of these turns, heard until the stack is left."""
    agent = runs.a_free_agent()
    hearing = stack.enter_context(contextlib.closing(runs.Hearing(runs.last_seq_of(agent, turns))))
    return lambda: runs.run_once(agent, turns, hearing)


def _in_turns(kinds: dict[str, Callable[[], float]], count: int) -> dict[str, list[float]]:
    """The times of each kind, one of each after the other: what else the machine does hits all.

    Runs that start git are measured a quarter as often.
    """
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(-min(WARM_UP, count), count):
        for name, once in kinds.items():
            if number % 4 and "," in name:
                continue
            taken = once()
            if number >= 0:
                times[name].append(taken)
    return times


def _commits_of_a_run(count: int = 20) -> int:
    """Transactions that write, of one durable run: by the numbers that PostgreSQL gave out.

    A savepoint that writes takes a number too; those of a start are taken off again.
    """
    savepoints: list[str] = []

    def look(execute: Any, sql: str, *rest: Any) -> Any:
        savepoints.extend([sql] if sql.startswith("SAVEPOINT") else [])
        return execute(sql, *rest)

    agent = runs.a_free_agent()
    hearing = runs.Hearing(runs.last_seq_of(agent, runs.PLAIN))
    before = _next_transaction()
    with connection.execute_wrapper(look):
        for _ in range(count):
            runs.run_once(agent, runs.PLAIN, hearing)
    hearing.close()
    return round((_next_transaction() - before - len(savepoints)) / count)


def _next_transaction() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint")
        return int(cursor.fetchone()[0])


def _add(
    report: Report,
    name: str,
    times: list[float],
    what: str,
    bare: list[float] | None,
    *,
    aim: float | None = None,
) -> None:
    for label, share in (("p50", 0.5), ("p99", 0.99)):
        value = percentile(times, share)
        report.add(Figure(PART, f"{name}, {label}", value * 1000, "ms", what))
        if bare is not None:
            against = value / percentile(bare, share)
            limit = aim if label == "p50" else None
            report.add(Figure(PART, f"{name} / bare, {label}", against, "times", "", limit))
