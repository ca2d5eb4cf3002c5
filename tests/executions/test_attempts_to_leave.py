"""A run that tries to leave its worktree, or to leave something running, is told that it cannot."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from executions.models import Entry, Execution, Status, ToolCall
from tests.agents.runtime.confinements import processes_with, soon
from tests.executions.carrying import drive
from tests.starting import a_run, an_agent, tool

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, settings: Any) -> Path:
    """A folder of somebody else, beside all worktrees."""
    settings.SIGNALBOX_WORK_DIR = tmp_path / "work"
    settings.EXECUTION_LEASE = timedelta(seconds=120)
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "theirs.txt").write_text("hush-hush")
    return folder


def played(*turns: dict[str, Any]) -> tuple[Execution, list[ToolCall]]:
    """The run of these turns at its end, and its calls in order."""
    run = a_run(an_agent(), *turns, {"say": "Done."})
    drive(run)
    assert run.status == Status.COMPLETED, run.failure_message
    return run, list(ToolCall.objects.filter(execution=run).order_by("turn", "position"))


def test_every_way_out_is_refused_and_explained(outside: Path) -> None:
    above = "/".join([".."] * 8)
    ways = ["out/theirs.txt", "file", f"{above}{outside}/theirs.txt", f"{outside}/theirs.txt"]
    attempts = [
        each
        for path in ways
        for each in (
            tool("Read", path=path),
            tool("Write", path=path, content="x"),
            tool("Edit", path=path, old_string="hush", new_string="x"),
            tool("Grep", pattern="hush", path=path),
        )
    ]
    attempts += [tool("Glob", pattern="*", path=path) for path in ("out", str(outside), "..")]
    attempts += [tool("Glob", pattern=pattern) for pattern in ("../**", f"{outside}/*")]
    links = tool("Bash", command=f"ln -s '{outside}' out; ln -s '{outside}/theirs.txt' file; ls")
    run, (made, *calls) = played(links, *attempts)
    assert made.output == "file\nout\n[exit code 0]"
    assert len(calls) == len(attempts)
    for call in calls:
        assert (call.status, "outside" in call.output) == ("error", True), (call, call.output)
    told = Entry.objects.filter(execution=run, type="tool_result")
    assert [entry.content["text"] for entry in told.order_by("position")][1:] == [
        call.output for call in calls
    ]
    assert (outside / "theirs.txt").read_text() == "hush-hush"
    assert [file.name for file in outside.iterdir()] == ["theirs.txt"]
    # The links are kept as links, and what they lead to is not.
    assert run.diff is not None
    assert "hush-hush" not in run.diff["patch"]


def test_what_searches_pass_by_is_found_nowhere(outside: Path) -> None:
    links = tool("Bash", command=f"ln -s '{outside}' out; ln -s '{outside}/theirs.txt' file")
    _, (_, listed, found, read) = played(
        links,
        tool("Glob", pattern="{..,out,.}/**/*.txt"),
        tool("Grep", pattern="hush", glob="../**"),
        tool("Bash", command="cat file out/theirs.txt; cp -rL . /tmp/copy; grep -r hush /tmp"),
    )
    assert "theirs" not in listed.output
    assert found.output == "No matches."
    assert "hush-hush" not in read.output


def test_what_runs_away_is_gone_and_the_model_is_told() -> None:
    mark = f"mark-{uuid4().hex}"
    runs_away = (
        f"trap '' TERM HUP; (setsid nohup bash -c 'trap : TERM; sleep 600; : {mark}' &) ; "
        f"setsid bash -c \"(trap '' TERM; sleep 600; : {mark}) & disown\"; sleep 600; : {mark}"
    )
    _, (ended, left, flood) = played(
        tool("Bash", command=runs_away, timeout=1),
        tool("Bash", command=f"(setsid bash -c 'sleep 600; : {mark}' &); echo left"),
        tool("Bash", command="head -c 1G /dev/zero | tr '\\0' x; echo; echo last", timeout=300),
    )
    assert (ended.status, "ended by its timeout of 1 s" in ended.output) == ("error", True)
    assert left.output == "left\n[exit code 0]"
    assert flood.output.endswith("\nlast\n[exit code 0]")
    assert "bytes left out" in flood.output
    assert len(flood.output) < 50 * 1024
    assert soon(lambda: not processes_with(mark))
