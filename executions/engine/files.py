"""The files of one run as its tools see them: opened when first needed, kept after each change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from django.db import connection

from agents.runtime.facts import ToolRequest
from agents.runtime.spec import RunSpec
from agents.runtime.tools.catalogue import TOOLS
from agents.runtime.tools.registry import Tool, Toolbox, Workspace
from executions import worktrees
from executions.engine.claim import Claim
from executions.engine.control import Control

_NOWHERE = Path("/nonexistent")


class Files:
    """A run that uses no tool costs nothing here.

    Every change is kept as a commit before the tool's outcome is committed, so that what a later
    claim rebuilds is what the transcript says. No database connection is held while git works,
    but for the moment in which it sets a ref.
    """

    def __init__(self, claim: Claim, control: Control, spec: RunSpec) -> None:
        self._claim, self._control, self._spec = claim, control, spec
        self._checkout: worktrees.Checkout | None = None

    def workspace_for(self, tool: Tool | None) -> Workspace:
        """Where this tool works now. Raises `worktrees.WorktreeError` when it cannot be had.

        A tool that uses no files, or a call that will be refused (None), gets a place that does
        not exist: making a checkout takes git a tenth of a second.
        """
        if tool is None or not tool.uses_files:
            return self._workspace(_NOWHERE)
        checkout = self._opened()
        return self._workspace(checkout.directory, readable=_history(checkout.git_dir))

    def keep(self, turn: int) -> str | None:
        """Keep the files as they are; returns the commit, or None while nothing ever changed."""
        return worktrees.keep(self._opened(), turn) or None

    def finish(self) -> dict[str, Any] | None:
        """The diff of everything that the execution changed, or None."""
        if self._checkout is None and not self._claim.execution.tree:
            return None
        diff = worktrees.finish(self._opened())
        connection.close()
        return diff and self._without_secrets(diff)

    def _without_secrets(self, diff: dict[str, Any]) -> dict[str, Any]:
        """The diff as people are shown it. What is merged are commits, and not this."""
        redactor = self._claim.redactor
        shown = {"patch": redactor.text(diff["patch"]), "files": redactor.json(diff["files"])}
        return diff | shown

    def leave_clean(self) -> None:
        """Let the next claim on this host go on in the same directory."""
        if self._checkout is not None:
            worktrees.leave_clean(self._checkout)

    def stay(self) -> None:
        """Go on in the directory that was to be left: it may not stay as it is."""
        if self._checkout is not None:
            worktrees.stay(self._checkout)

    def _opened(self) -> worktrees.Checkout:
        if self._checkout is None:
            self._checkout = worktrees.prepare(
                self._claim.execution, self._claim.claim_id, run_setup=self._set_up
            )
            connection.close()
        return self._checkout

    def _set_up(self, command: str, directory: Path) -> tuple[int, str]:
        """Run a board's set-up command, confined like the agent's own commands."""
        request = ToolRequest("setup", "Bash", {"command": command, "timeout": 600})
        result = Toolbox(TOOLS.values(), ["Bash"]).call(request, self._workspace(directory))
        self._control.check()  # A set-up that was ended from outside has not failed.
        ended = _EXIT_CODE.search(result.output)
        return (int(ended[1]) if ended else 1), result.output

    def _workspace(self, root: Path, readable: tuple[Path, ...] = ()) -> Workspace:
        return Workspace(
            root=root,
            environment=self._spec.environment,
            stop=self._control.stop,
            readable=readable,
            redactor=self._claim.redactor,
        )


# How Bash closes its report.
_EXIT_CODE = re.compile(r"\[exit code (\d+)[^\]]*\]\s*$")


def _history(git_dir: Path) -> tuple[Path, ...]:
    """What `git log` and `git diff` read of a repository: not its configuration, which may hold
    the credentials of its remotes."""
    parts = ("HEAD", "objects", "refs", "packed-refs", "worktrees")
    return tuple(path for part in parts if (path := git_dir / part).exists())
