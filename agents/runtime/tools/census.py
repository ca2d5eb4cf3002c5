"""Counts what a process has started: tasks and memory of everything below it."""

from __future__ import annotations

import os
from dataclasses import dataclass

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Census:
    """Tasks are processes and their threads; memory is what they hold of their own, in bytes."""

    tasks: int
    memory_bytes: int


def count_below(pid: int, *, at_most: int) -> Census:
    """The census of all descendants; counting ends early once there are more than `at_most`.

    Processes that come and go meanwhile may be missed. Reads only the family's own entries in
    /proc, so that it costs little on a busy host.
    """
    tasks = memory = 0
    waiting = children(pid)
    while waiting and tasks <= at_most:
        member = waiting.pop()
        tasks += len(_threads(member))
        memory += _own_memory(member)
        waiting += children(member)
    return Census(tasks, memory)


def children(pid: int) -> list[int]:
    """The processes that this one started, or inherited, and has not yet buried."""
    found: list[int] = []
    for thread in _threads(pid):
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                found += [int(child) for child in file.read().split()]
        except OSError:  # Ended meanwhile.
            continue
    return found


def _threads(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/task")
    except OSError:
        return []


def _own_memory(pid: int) -> int:
    """Resident pages that are not shared with a file; 0 when the process has ended."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            _, resident, shared, *_ = file.read().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * _PAGE
