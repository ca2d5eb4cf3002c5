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


def aims(found: Any) -> set[str]:
    return {figure["name"] for figure in found["figures"] if figure["aim"] is not None}


def test_runs_are_measured_beside_bare_tasks_and_taken_apart(tmp_path: Path) -> None:
    found = measured(tmp_path, "one", "many", "breakdown")
    assert aims(found) == _AIMS
    assert all(figure["value"] > 0 for figure in found["figures"])
    steps = {step["name"] for step in found["steps"]["Write"]}
    assert {"worker: claim", "worker: commit of the end", "worker: files: keep"} <= steps


def test_resuming_is_measured_by_the_entries_behind_it(tmp_path: Path) -> None:
    found = measured(tmp_path, "resuming")
    names = {figure["name"] for figure in found["figures"]}
    assert {f"resume with {n} entries, p50" for n in ("10", "100", "1,000", "10,000")} <= names
    assert aims(found) == {"resume with 10,000 entries, p50", "resume with 10,000 entries, p99"}


def test_waking_and_steps_are_measured(tmp_path: Path) -> None:
    found = measured(tmp_path, "waking")
    assert aims(found) == {"signal to resumed, p50", "approval to resumed, p50"}
    assert {"steps, one run", "steps, 8 runs at once"} <= {
        each["name"] for each in found["figures"]
    }
    assert all(figure["value"] > 0 for figure in found["figures"])


def test_streams_are_measured_and_lose_nothing(tmp_path: Path) -> None:
    found = measured(tmp_path, "streams")
    assert aims(found) == {"events, p99", "tokens, p99", "lost or doubled"}
    values = {figure["name"]: figure["value"] for figure in found["figures"]}
    assert values.pop("lost or doubled") == 0
    values.pop("no processor")
    assert all(value > 0 for value in values.values())


@pytest.mark.bench
def test_runs_that_wait_for_a_model_are_measured(tmp_path: Path) -> None:
    found = measured(tmp_path, "waiting")
    assert aims(found) == _WAITING_AIMS
    spans = {each["part"]: each["value"] for each in found["figures"] if each["name"] == "makespan"}
    assert spans.keys() == {"3 scripted", "3 over HTTP"}
    assert all(seconds >= 3 for seconds in spans.values())
