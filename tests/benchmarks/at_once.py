"""All at once: how many runs a second one worker process carries out."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks import runs, tasks
from tests.benchmarks.figures import Figure, Report
from tests.benchmarks.ground import worker

PART = "at once"


def measure(report: Report, folder: Path, *, count: int, concurrency: int, commits: int) -> None:
    """Add runs per second, first submit to last end, for the three kinds on the same worker."""
    with worker(folder, concurrency=concurrency):
        _warm_up(commits)
        bare = count / runs.seconds_for_tasks(count, tasks.BARE)
        plain = count / runs.seconds_for_tasks(count, tasks.COMMITS, commits)
        durable = count / runs.seconds_for_runs(runs.a_free_agent(), count, *runs.PLAIN)
    what = f"{count} at once, {concurrency} threads"
    report.add(
        Figure(PART, "bare Celery task", bare, "/s", what),
        Figure(PART, "plain commits", plain, "/s", f"a task of {commits} commits, all to the disk"),
        Figure(PART, "durable run", durable, "/s", "three turns"),
        Figure(PART, "durable run / bare", durable / bare, "times", ""),
        Figure(
            PART,
            "durable run / plain commits",
            durable / plain,
            "times",
            "",
            0.5,
            is_more_better=True,
        ),
    )


def _warm_up(commits: int) -> None:
    runs.seconds_for_tasks(20, tasks.BARE)
    runs.seconds_for_tasks(20, tasks.COMMITS, commits)
    runs.seconds_for_runs(runs.a_free_agent(), 20, *runs.PLAIN)
