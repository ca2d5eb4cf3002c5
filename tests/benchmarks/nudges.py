"""How long it takes to nudge a crowd of agents, and what it asks of the database.

`python -m tests.benchmarks.nudges --count 10000`, on services of its own. Agents of the kind
`react` are run by Signalbox: what their runs hear after the commit is part of the time.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from rich.console import Console

from tests.benchmarks.costs import cost_of
from tests.benchmarks.ground import ground

CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("external", {"condition": "always"}),
    ("external", {"condition": "idle_with_inbox"}),
    ("external", {"condition": "silent_in_progress", "minutes": 30}),
    ("react", {"condition": "always"}),
)


def main() -> None:
    """Run a schedule of many agents in each case, then many schedules of one agent; print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.nudges")
    parser.add_argument("--count", type=int, default=10_000, help="how many nudges")
    options = parser.parse_args()
    console = Console(width=120)
    with ground():
        for kind, fields in CASES:
            _of_one_board(options.count, kind, fields, console)
        _of_many_schedules(options.count, console)


def _of_one_board(count: int, kind: str, fields: dict[str, Any], console: Console) -> None:
    from boards.models import Task
    from tests.boards.nudging import crowd_on, make_schedule
    from tests.factories import make_board, make_organization

    board = make_board(make_organization())
    agents = crowd_on(board, count, kind=kind)
    silent = {"status": "in_progress", "started_at": board.created_at.replace(year=2000)}
    task = silent if "minutes" in fields else {}
    Task.objects.bulk_create(
        Task(board=board, title="Count", assigned_agent=agent, **task) for agent in agents
    )
    schedule = make_schedule(board, **fields)
    _run([schedule], count, f"one schedule, {kind}, {fields['condition']}", console)


def _of_many_schedules(count: int, console: Console) -> None:
    from tests.boards.nudging import crowd_on, make_schedule
    from tests.factories import make_board, make_organization

    board = make_board(make_organization())
    agents = crowd_on(board, count)
    organization = board.organization
    schedules = [make_schedule(organization, agents=[agent.pk]) for agent in agents]
    _run(schedules, count, "as many schedules of one agent each", console)


def _run(schedules: list[Any], count: int, name: str, console: Console) -> None:
    from django.db.models import F, Sum

    from agents.clock import ClockTimestamp
    from boards.actions import occurrences
    from boards.models import NudgeSchedule, Occurrence

    rows = NudgeSchedule.objects.filter(pk__in=[schedule.pk for schedule in schedules])
    rows.update(next_run_at=ClockTimestamp())
    sweeps = []

    def sweep_until_done() -> None:
        due = NudgeSchedule.objects.filter(next_run_at__lte=ClockTimestamp())
        while due.exists() or Occurrence.objects.filter(finished_at=None).exists():
            began = time.perf_counter()
            occurrences.nudge_due()
            sweeps.append(time.perf_counter() - began)

    seconds, queries = cost_of(sweep_until_done)
    console.print(
        f"{name}: {count} nudges in {seconds:.1f} s, {count / seconds:.0f} a second; {queries} "
        f"queries; {len(sweeps)} sweeps, the longest {max(sweeps):.1f} s"
    )
    nudged = Occurrence.objects.filter(schedule__in=rows).aggregate(all=Sum(F("nudged")))["all"]
    assert nudged == count, "Each was nudged, and none twice."


if __name__ == "__main__":
    main()
