"""Jobs for tests. What they do to the world is a line in a file, which no death takes back."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from agents.runtime.jobs import CurrentJob, Permanent, RetryAfter, job


def note(path: str, text: str) -> None:
    log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, f"{text}\n".encode())
    os.close(log)


def lines(path: str | Path) -> list[str]:
    return Path(path).read_text().split() if Path(path).exists() else []


@job("test.add", max_retries=2, timeout=30)
def add(value: dict[str, int]) -> int:
    return value["a"] + value["b"]


@job("test.give")
def give(value: dict[str, Any]) -> Any:
    """Return what no wire can carry: named here, for an input is JSON."""
    return {
        "nul": {"text": "a\0b"},
        "half": ["\ud800"],
        "infinite": float("inf"),
        "object": object(),
        "long": "x" * (9 * 1024 * 1024),
        "backslash": "\\u0000",
        "tuple": (1, 2),
        "none": None,
    }[value["what"]]


@job("test.fail", max_retries=2)
def fail(value: Any) -> Any:
    raise ValueError(f"It cannot be: {value}\0")


@job("test.permanent")
def permanent(value: Any) -> Any:
    raise Permanent("There is no such file.", code="FILE_GONE")


@job("test.later")
def later(value: float) -> Any:
    raise RetryAfter(value)


@job("test.who")
def who(value: Any, this: CurrentJob) -> Any:
    this.progress("half way")
    return {
        "id": str(this.id),
        "key": this.key,
        "attempt": this.attempt,
        "execution": str(this.execution_id),
        "cancelled": this.is_cancelled(),
    }


@job("test.hold", timeout=60)
def hold(value: dict[str, str], this: CurrentJob) -> str:
    """Work until a file is there, or until it is told to stop."""
    note(value["log"], f"began:{os.getpid()}")
    while not Path(value["until"]).exists():
        if not value.get("deaf"):
            this.check_cancelled()
        time.sleep(0.01)
    note(value["log"], f"ended:{os.getpid()}")
    return f"done:{os.getpid()}"


@job("test.tick", max_retries=0)
def tick(value: dict[str, Any]) -> int:
    """Take a moment; whoever dies in it has left a line."""
    note(value["log"], str(value["n"]))
    time.sleep(value["seconds"])
    return int(value["n"])
