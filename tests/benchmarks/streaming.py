"""Streams: many open on one web process, how soon what happens reaches their readers."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
from django.db import connection, transaction
from django.db.models import F
from uuid_utils.compat import uuid7

from agents.activity import SYSTEM
from agents.models import Role
from executions import actions, documents, stream
from executions.models import Event, Execution
from tests.benchmarks import runs
from tests.benchmarks.figures import Figure, Report, percentile
from tests.benchmarks.ground import ROOT, poll_until
from tests.factories import make_key
from tests.starting import a_run

PART = "streams"
AIM_MILLISECONDS = 250.0
# One stream in ten is of an execution that streams tokens; of each other, ten are open.
_ONE_IN = 10
_TOKEN_SECONDS = 0.05
_EVENT_SECONDS = 2.0
# How long a reader stays before it leaves and comes back, on the average.
_STAY_SECONDS = 120.0


def measure(report: Report, folder: Path, *, count: int, seconds: float) -> None:
    """Add how soon events and tokens come, what was lost or doubled, and the memory."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    agent = runs.a_free_agent()
    busy = [a_run(agent, {"say": "x"}) for _ in range(count // _ONE_IN)]
    quiet = [a_run(agent, {"say": "x"}) for _ in range((count - len(busy)) // _ONE_IN)]
    watched = [*busy, *(quiet[n % len(quiet)] for n in range(count - len(busy)))]
    _, key = make_key(agent.organization, Role.VIEWER)
    with _web(folder) as (address, web):
        empty = _megabytes(web)
        order = {
            "address": address,
            "key": key,
            "paths": [f"{documents.address(run.id)}/stream" for run in watched],
            "stay": _STAY_SECONDS,
            "past": 60,
        }
        with _crowd(order) as crowd:
            began = time.monotonic()
            assert crowd.stdout is not None
            assert crowd.stdout.readline().strip() == "open"
            opened = time.monotonic() - began
            before, waited = web.cpu_times(), _waited(web)
            began = time.monotonic()
            most_memory = _happen(busy, quiet, seconds, web)
            used = sum(web.cpu_times()[:2]) - sum(before[:2])
            lasted = time.monotonic() - began
            waited = _waited(web) - waited
            for run in (*busy, *quiet):
                actions.cancel(run, by=SYSTEM, reason="", is_hard=False)
            found = json.loads(crowd.stdout.readline())
    _add(report, found, count)
    what = f"{len(busy)} of them of executions that stream tokens"
    report.add(
        Figure(PART, "opened", opened, "s", f"{count} streams, all at once; {what}"),
        Figure(PART, "memory, no stream", empty, "MB", "resident set of the web process"),
        Figure(PART, "memory", most_memory, "MB", f"with {count} streams, the most"),
        Figure(PART, "processor", used / lasted, "of one", "of the web process, meanwhile"),
        # Where it is not near 0, other work on this machine is what was measured.
        Figure(PART, "no processor", waited / lasted, "of time", "its loop could run and did not"),
        Figure(
            PART,
            "lost or doubled",
            found["lost"] + found["doubled"] + _short(found, watched),
            "",
            f"events, over {found['reconnects']} reconnects at random",
            0.0,
        ),
    )


def _add(report: Report, found: dict[str, Any], count: int) -> None:
    for name, what in (("events", "commit to reader"), ("tokens", "publish to reader")):
        times = [1000 * each for each in found[name]]
        for share in (0.5, 0.99):
            aim = AIM_MILLISECONDS if share == 0.99 else None
            shown = f"{what}, {len(times):,} received by {count} streams"
            figure = f"{name}, p{share * 100:.0f}"
            report.add(Figure(PART, figure, percentile(times, share), "ms", shown, aim))


def _short(found: dict[str, Any], watched: list[Execution]) -> int:
    """How many events the readers had not read when their streams ended."""
    last = dict(
        Execution.objects.filter(pk__in=[run.id for run in watched]).values_list("id", "event_seq")
    )
    by_path = {f"{documents.address(key)}/stream": seq for key, seq in last.items()}
    assert sum(len(ends) for ends in found["last"].values()) == len(watched)
    return sum(by_path[path] - end for path, ends in found["last"].items() for end in ends)


def _happen(
    busy: list[Execution], quiet: list[Execution], seconds: float, web: psutil.Process
) -> float:
    """Let things happen for so many seconds; the most memory of the web process meanwhile."""
    over = threading.Event()
    speaking = threading.Thread(target=_speak, args=(busy, over))
    speaking.start()
    most, deadline = 0.0, time.monotonic() + seconds
    everything = [*busy, *quiet]
    pause = _EVENT_SECONDS / len(everything)
    number, due = 0, time.monotonic()
    while time.monotonic() < deadline:
        _tell(everything[number % len(everything)])
        number, due = number + 1, due + pause
        if number % 50 == 1:
            most = max(most, _megabytes(web))
        time.sleep(max(0, due - time.monotonic()))
    over.set()
    speaking.join()
    return most


def _speak(busy: list[Execution], over: threading.Event) -> None:
    """A piece of a reply of each of them every 50 ms, spread evenly over that time."""
    number, due, pause = 0, time.monotonic(), _TOKEN_SECONDS / len(busy)
    while not over.is_set():
        stream.publish_tokens(busy[number % len(busy)].id, "text", f"{time.time():.6f}", 1)
        number, due = number + 1, due + pause
        time.sleep(max(0, due - time.monotonic()))


def _tell(run: Execution) -> None:
    with transaction.atomic():
        Execution.objects.filter(pk=run.pk).update(event_seq=F("event_seq") + 1)
        run.event_seq += 1
        Event.objects.create(
            id=uuid7(),
            execution_id=run.id,
            seq=run.event_seq,
            type="execution.turn",
            data={"at": time.time()},
        )
        stream.publish_on_commit(run)


@contextlib.contextmanager
def _web(folder: Path) -> Iterator[tuple[tuple[str, int], psutil.Process]]:
    """One web process as `manage.py up` starts it, on a loopback port."""
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener, _log(folder) as log:
        fd = listener.fileno()
        options = f"config.asgi:application --fd {fd} --lifespan off --no-access-log"
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", *options.split()],
            cwd=ROOT,
            env=os.environ | {"SIGNALBOX_PROCESS": "bench-web"},
            pass_fds=[fd],
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            address = listener.getsockname()
            poll_until(lambda: _answers(address), every=0.2, seconds=60)
            yield address, psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()
            connection.close()


def _log(folder: Path) -> Any:
    return (folder / "web.log").open("wb")


def _answers(address: tuple[str, int]) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(address, 5) as asking:
        asking.settimeout(5)
        asking.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b" 200 " in asking.recv(100)
    return False


@contextlib.contextmanager
def _crowd(order: dict[str, Any]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.crowd"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdin is not None
        process.stdin.write(json.dumps(order) + "\n")
        process.stdin.flush()
        yield process
        process.wait(60)
    finally:
        process.kill()
        process.wait()


def _waited(process: psutil.Process) -> float:
    """Seconds for which the first thread of a process was ready to run and had no processor."""
    file = Path(f"/proc/{process.pid}/task/{process.pid}/schedstat")
    return int(file.read_text().split()[1]) / 1e9 if file.exists() else 0.0


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20
