"""The benchmarks run, and find every figure that they promise."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT

# One run of all parts is the set-up of the first test; on a very busy machine it took 775 s.
pytestmark = pytest.mark.timeout(1200)

_AIMS = {"durable run / bare, p50", "durable run / plain commits"}
_WAITING_AIMS = {"makespan / ideal", "memory"}


def measured(folder: Path, *parts: str) -> Any:
    file = folder / "figures.json"
    # They have services of their own, whatever this test run has.
    given = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    options = ["--tiny", "--concurrency", "4", "--json", str(file), "--parts", *parts]
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", *options], cwd=ROOT, env=given, check=True
    )
    return json.loads(file.read_text())


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """All in one run, as `make bench` does it: its services take longer to start than it lasts."""
    parts = ("one", "many", "waking", "resuming", "streams", "deliveries", "breakdown")
    return measured(tmp_path_factory.mktemp("benchmarks"), *parts)


def figures(found: Any, *parts: str) -> list[Any]:
    return [figure for figure in found["figures"] if figure["part"] in parts]


def aims(of: list[Any]) -> set[str]:
    return {figure["name"] for figure in of if figure["aim"] is not None}


def test_runs_are_measured_beside_bare_tasks_and_taken_apart(found: Any) -> None:
    mine = figures(found, "one by one", "at once")
    assert aims(mine) == _AIMS
    assert all(figure["value"] > 0 for figure in mine)
    steps = {step["name"] for step in found["steps"]["Write"]}
    assert {"worker: claim", "worker: commit of the end", "worker: files: keep"} <= steps


def test_resuming_is_measured_by_the_entries_behind_it(found: Any) -> None:
    mine = figures(found, "resuming")
    names = {figure["name"] for figure in mine}
    assert {f"resume with {n} entries, p50" for n in ("10", "100", "1,000", "10,000")} <= names
    assert aims(mine) == {"resume with 10,000 entries, p50", "resume with 10,000 entries, p99"}


def test_waking_and_steps_are_measured(found: Any) -> None:
    mine = figures(found, "waking")
    assert aims(mine) == {"signal to resumed, p50", "approval to resumed, p50"}
    assert {"steps, one run", "steps, 8 runs at once"} <= {each["name"] for each in mine}
    assert all(figure["value"] > 0 for figure in mine)


def test_streams_are_measured_and_lose_nothing(found: Any) -> None:
    mine = figures(found, "streams")
    assert aims(mine) == {"events, p99", "tokens, p99", "lost or doubled"}
    values = {figure["name"]: figure["value"] for figure in mine}
    assert values.pop("lost or doubled") == 0
    values.pop("no processor")
    assert all(value > 0 for value in values.values())


def test_deliveries_are_measured_and_ask_little_of_the_database(found: Any) -> None:
    mine = figures(found, "deliveries")
    queries = {"delivery, queries", "message, queries"}
    assert aims(mine) == queries | {"delivery, 10,000", "message, 10,000"}
    assert all(figure["is_met"] for figure in mine if figure["name"] in queries)
    assert all(figure["value"] > 0 for figure in mine)


@pytest.mark.bench
def test_runs_that_wait_for_a_model_are_measured(tmp_path: Path) -> None:
    found = measured(tmp_path, "waiting")
    assert aims(found["figures"]) == _WAITING_AIMS
    spans = {each["part"]: each["value"] for each in found["figures"] if each["name"] == "makespan"}
    assert spans.keys() == {"3 scripted", "3 over HTTP"}
    assert all(seconds >= 3 for seconds in spans.values())
