"""Merges in a process of its own, which kills itself at a point that its caller names.

`python -m tests.executions.dying EXECUTION STRATEGY [POINT]`: without a point it lives. A point is
the name of a function of a merge with `before:` or `after:`.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any
from unittest.mock import patch
from uuid import UUID

import django

PLACES = {
    "note": "tests.executions.working.worktrees.move",
    "files": "executions.git.checkouts.update",
    "branch": "executions.git.targets.set_branch",
    "push": "executions.git.targets.push",
    "origin": "executions.git.targets.set_ref",
}


def main(execution_id: str, strategy: str, point: str = "") -> None:
    """Merge the execution's work into `main`, and die at the point."""
    django.setup()
    from executions.worktrees import Strategy
    from tests.executions.working import merge, worktree_of

    worktree = worktree_of(UUID(execution_id))
    if not point:
        merge(worktree, Strategy(strategy))
        return
    when, _, name = point.partition(":")
    place = patch(PLACES[name])
    real, _ = place.get_original()

    def die(*arguments: Any, **named: Any) -> Any:
        if when == "after":
            real(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    with patch(PLACES[name], die):
        merge(worktree, Strategy(strategy))


if __name__ == "__main__":
    main(*sys.argv[1:])
