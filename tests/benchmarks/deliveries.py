"""How long it takes to tell an endpoint of many lines, and what it asks of the database.

`python -m tests.benchmarks.deliveries --count 10000`, on services of its own. The receiver runs in
the same process, and is part of the time.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from typing import Any

from rich.console import Console

from tests.benchmarks.ground import ground
from tests.receiver import LOOPBACK, receiver


def main() -> None:
    """Write lines, fan them out, deliver them, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.deliveries")
    parser.add_argument("--count", type=int, default=10_000, help="how many lines")
    options = parser.parse_args()
    with ground(), receiver() as far:
        _measure(options.count, far, Console(width=100))


def _measure(count: int, far: Any, console: Console) -> None:
    from django.conf import settings

    from agents.activity import SYSTEM, record
    from agents.deliveries import deliver
    from agents.fanout import fan_out
    from tests.factories import make_endpoint, make_organization

    settings.DELIVERY_NETWORKS = [ip_network(LOOPBACK)]
    organization = make_organization()
    endpoint = make_endpoint(organization, url=far.url, types=["agent.updated"])

    def write() -> None:
        for number in range(count):
            record(organization.id, "agent.updated", by=SYSTEM, number=number)

    def fan_all_out() -> None:
        while fan_out(endpoint.pk):
            pass

    for name, step in (
        ("written", write),
        ("fanned out", fan_all_out),
        ("delivered", lambda: deliver(endpoint.pk)),
    ):
        seconds, queries = cost_of(step)
        console.print(
            f"{count} lines {name}: {seconds:.1f} s, {count / seconds:.0f} a second, "
            f"{queries / count:.3f} queries a line"
        )
    assert len(far.taken) == count, "Each arrived, and none twice."


def cost_of(step: Callable[[], object]) -> tuple[float, int]:
    """How many seconds the step takes, and how many statements."""
    with _counted() as queries:
        began = time.perf_counter()
        step()
        return time.perf_counter() - began, queries[0]


@contextmanager
def _counted() -> Iterator[list[int]]:
    from django.db import connection

    count = [0]

    def note(execute: Any, *asked: Any) -> Any:
        count[0] += 1
        return execute(*asked)

    with connection.execute_wrapper(note):
        yield count


if __name__ == "__main__":
    main()
