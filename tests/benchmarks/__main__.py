"""`make bench`: measures everything in one run on this machine, and prints it."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from tests.benchmarks.figures import Report
from tests.benchmarks.ground import ground

PARTS = (
    "one",
    "many",
    "waiting",
    "waking",
    "resuming",
    "streams",
    "deliveries",
    "breakdown",
)


@dataclass(frozen=True, slots=True)
class Size:
    """How many are measured one by one, at once, waiting for a model, woken, resumed and traced.

    And how many streams are open, for how many seconds, and how much is delivered.
    """

    one: int = 200
    many: int = 1000
    waiting: int = 300
    woken: int = 200
    resumed: int = 20
    traced: int = 100
    streams: int = 1000
    seconds: float = 40
    delivered: int = 10_000


QUICK = Size(
    one=20,
    many=60,
    waiting=20,
    woken=20,
    resumed=5,
    traced=10,
    streams=200,
    seconds=15,
    delivered=1000,
)
TINY = Size(
    one=3, many=3, waiting=3, woken=2, resumed=1, traced=3, streams=20, seconds=3, delivered=120
)


def measure(size: Size, *, concurrency: int, parts: tuple[str, ...] = PARTS) -> Report:
    """Everything, on services of its own that end with it."""
    report = Report(facts=_facts())
    with ground() as folder:
        from tests.benchmarks import (
            at_once,
            breakdown,
            deliveries,
            one_by_one,
            resuming,
            streaming,
            waiting,
            waking,
        )

        commits = 0
        if "one" in parts or "many" in parts:
            commits = one_by_one.measure(report, folder, count=size.one, concurrency=concurrency)
        if "many" in parts:
            at_once.measure(
                report, folder, count=size.many, concurrency=concurrency, commits=commits
            )
        if "waiting" in parts:
            waiting.measure(report, folder, count=size.waiting)
        if "waking" in parts:
            waking.measure(report, folder, count=size.woken, concurrency=concurrency)
        if "resuming" in parts:
            resuming.measure(report, folder, count=size.resumed, concurrency=concurrency)
        if "streams" in parts:
            streaming.measure(report, folder, count=size.streams, seconds=size.seconds)
        if "deliveries" in parts:
            deliveries.measure(report, count=size.delivered)
        if "breakdown" in parts:
            breakdown.measure(report, folder, count=size.traced, concurrency=concurrency)
    return report


def _facts() -> dict[str, str]:
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    return {
        "machine": f"{os.cpu_count()} processors, {platform.machine()}, {platform.system()}",
        "load before": load,
        "python": platform.python_version(),
        "services": "embedded PostgreSQL (fsync on) and Redis, on this machine",
    }


def main() -> None:
    """Read the options, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of everything")
    parser.add_argument("--tiny", action="store_true", help="just enough to see that it works")
    parser.add_argument("--concurrency", type=int, default=64, help="threads of the worker")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="only these")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    size = TINY if options.tiny else QUICK if options.quick else Size()
    report = measure(size, concurrency=options.concurrency, parts=tuple(options.parts))
    from tests.benchmarks.table import show

    show(report, Console(width=None if os.isatty(1) else 140))
    if options.json:
        options.json.write_text(json.dumps(report.as_json(), indent=2) + "\n")


if __name__ == "__main__":
    main()
