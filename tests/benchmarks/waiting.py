"""Waiting for models: many runs at once in one worker process, against the ideal."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import psutil
from django.db import connection
from django.db.models import Max, Min

from executions.models import Execution
from tests.benchmarks import runs
from tests.benchmarks.figures import Figure, Report
from tests.benchmarks.ground import BenchWorker, model_server, worker

LATENCY = 1.0
TURNS = len(runs.PLAIN)
MEMORY_AIM = 400.0
_GLANCE = 0.05


def measure(report: Report, folder: Path, *, count: int) -> None:
    """Add makespan, memory, threads and connections; scripted, and over HTTP."""
    slow = [{**turn, "delay": LATENCY} for turn in runs.PLAIN]
    with worker(folder, concurrency=count) as process:
        _measure(report, f"{count} scripted", process, runs.a_free_agent(), count, slow)
    with model_server(latency=LATENCY) as url, worker(folder, concurrency=count) as process:
        agent = runs.a_free_agent(
            model="openai-compatible:bench", model_settings={"base_url": f"{url}/v1"}
        )
        _measure(report, f"{count} over HTTP", process, agent, count, runs.PLAIN)


def _measure(
    report: Report,
    part: str,
    process: BenchWorker,
    agent: Any,
    count: int,
    turns: list[dict[str, Any]],
) -> None:
    # The first call of a process imports the provider's library, which takes 1.5 s.
    runs.seconds_for_runs(_like(agent), 1, *turns)
    ideal = LATENCY * TURNS
    with Watch(process.pid) as watch:
        makespan = runs.seconds_for_runs(agent, count, *turns)
    is_aim = "scripted" in part
    report.add(
        Figure(part, "makespan", makespan, "s", f"{TURNS} turns of {LATENCY:g} s, first to last"),
        Figure(part, "makespan / ideal", makespan / ideal, "times", "", 3.0 if is_aim else None),
        Figure(part, "claims to ends", _worked(agent), "s", "first claim to last end, by the rows"),
        Figure(
            part,
            "memory",
            watch.megabytes,
            "MB",
            "peak resident set of the worker",
            MEMORY_AIM if is_aim else None,
        ),
        Figure(part, "threads", watch.threads, "", "most at one time"),
        Figure(part, "connections", watch.connections, "", "most to PostgreSQL, of the worker"),
    )


def _like(agent: Any) -> Any:
    return runs.a_free_agent(model=agent.model, model_settings=agent.model_settings)


def _worked(agent: Any) -> float:
    of_agent = Execution.objects.filter(agent=agent)
    span = of_agent.aggregate(span=Max("finished_at") - Min("started_at"))["span"]
    return float(span.total_seconds())


class Watch:
    """Looks at a worker about twenty times a second and remembers the most of each."""

    def __init__(self, pid: int) -> None:
        self.megabytes = 0.0
        self.threads = 0
        self.connections = 0
        self._process = psutil.Process(pid)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(_GLANCE):
            self.megabytes = max(self.megabytes, self._process.memory_info().rss / 2**20)
            self.threads = max(self.threads, self._process.num_threads())
            self.connections = max(self.connections, _connections())
        connection.close()


def _connections() -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'bench-worker'"
        )
        return int(cursor.fetchone()[0])
