"""Where a run is to stand still: files by which a test and its worker processes agree."""

from __future__ import annotations

import os
import time
from collections import Counter
from enum import StrEnum
from pathlib import Path
from uuid import UUID

FOLDER = "SIGNALBOX_CHAOS_STOPS"


class Point(StrEnum):
    """The moments of a tool call between two commits, in their order."""

    REPLIED = "replied"  # The reply is committed; the call has not been started.
    STARTED = "started"  # `running` is committed; the tool has not begun.
    IN_TOOL = "in-tool"  # The tool has begun.
    TOOL_ENDED = "tool-ended"  # The tool is done; its files are not kept yet.
    KEEPING = "keeping"  # The files are a commit that no ref names yet.
    KEPT = "kept"  # The files are kept; the outcome is not committed.
    SETTLED = "settled"  # The outcome is committed.


class Stops:
    """A folder of stops and of what tools did, shared by one test and its workers.

    A stop is taken by renaming its file, so that exactly one run of one worker stands at it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tools = folder / "tools.log"

    # --- the test's side ------------------------------------------------------------------------

    def arm(self, execution_id: UUID, turn: int, point: Point) -> None:
        """The first run of this execution that comes to this point of this turn stands there."""
        self._stop(execution_id, turn, point).touch()

    def standing(self, execution_id: UUID, turn: int, point: Point) -> int:
        """How many runs stand there; those of dead workers count too."""
        return len(list(self.folder.glob(f"{execution_id}.{turn}.{point}.*")))

    def let_go(self, pid: int) -> None:
        """Let every run of this worker that stands go on."""
        for stop in self.folder.glob(f"*.{pid}"):
            stop.unlink()

    def effects(self) -> Counter[str]:
        """How often each tool call really began, by the ledger's id of the call."""
        return Counter(self._tools.read_text().split() if self._tools.exists() else ())

    # --- the worker's side ----------------------------------------------------------------------

    def stand(self, execution_id: UUID, turn: int, point: Point) -> None:
        """Block this thread if a stop is armed here, until the test lets go or kills us."""
        stop = self._stop(execution_id, turn, point)
        standing = stop.with_name(f"{stop.name}.{os.getpid()}")
        try:
            stop.rename(standing)
        except FileNotFoundError:
            return
        while standing.exists():
            time.sleep(0.01)

    def note_effect(self, call_id: UUID) -> None:
        """Say, where no worker's death can take it back, that this call has begun."""
        log = os.open(self._tools, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(log, f"{call_id}\n".encode())
        os.close(log)

    def _stop(self, execution_id: UUID, turn: int, point: Point) -> Path:
        return self.folder / f"{execution_id}.{turn}.{point}"
