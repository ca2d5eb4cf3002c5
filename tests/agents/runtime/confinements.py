"""The ways of running commands that this machine offers, each forced, for tests of Bash."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents.runtime.tools import confine, launch
from agents.runtime.tools.confine import Confinement
from agents.runtime.tools.registry import Workspace
from agents.runtime.tools.shell import Bash


def _bwrap() -> Confinement:
    return confine.bwrap() or pytest.skip("bwrap is not installed, or may make no namespaces here")


def _landlock() -> Confinement:
    if launch.landlock_abi() < confine.LEAST_LANDLOCK_ABI:
        pytest.skip("this kernel has no Landlock, or one too old")
    if not confine._holds(Confinement("landlock", pid_namespace=True)):
        pytest.skip("PID namespaces are not allowed here")
    return Confinement("landlock", pid_namespace=True)


def _landlock_without_namespace() -> Confinement:
    if launch.landlock_abi() < launch.SCOPES_SINCE_ABI:
        pytest.skip("this kernel's Landlock cannot scope signals")
    return Confinement("landlock")


def _unconfined_without_namespace() -> Confinement:
    return Confinement("none")


CONFINED: dict[str, Callable[[], Confinement]] = {
    "bwrap": _bwrap,
    "landlock": _landlock,
    "landlock-no-namespace": _landlock_without_namespace,
}
EVERY: dict[str, Callable[[], Confinement]] = {
    **CONFINED,
    "unconfined": confine.unconfined,
    "unconfined-no-namespace": _unconfined_without_namespace,
}


def run(way: Confinement, workspace: Workspace, command: str, **more: Any) -> str:
    return Bash(lambda: way).run({"command": command, **more}, workspace)


def processes_with(mark: str) -> list[int]:
    """The living processes that have the mark in their command line."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = Path("/proc", name, "cmdline").read_bytes()
        except OSError:
            continue
        if mark.encode() in words and int(name) != os.getpid():
            found.append(int(name))
    return found


def soon(fact: Callable[[], object], seconds: float = 10.0) -> bool:
    """Whether the fact comes true within the time."""
    deadline = time.monotonic() + seconds
    while not fact():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
