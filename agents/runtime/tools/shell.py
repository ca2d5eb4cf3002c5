"""Bash: runs a command in the worktree, confined and limited, and leaves nothing of it running."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.runtime.tools import census
from agents.runtime.tools.confine import Confinement, confinement, prepare_scratch, start
from agents.runtime.tools.registry import Interrupted, ToolError, Workspace, parameters
from agents.runtime.tools.text import KeptOutput

DEFAULT_SECONDS = 120
MAX_SECONDS = 600
MAX_COMMAND_BYTES = 100_000  # The kernel takes 128 KiB for one argument.
GRACE_SECONDS = 2.0
BURIAL_SECONDS = 10.0
_LOOK_SECONDS = 0.05  # A fork bomb makes about 5,000 processes a second here.
_CHUNK_BYTES = 256 * 1024
_ROOM_FOR_ENDING = 400


class Bash:
    """Runs a shell command."""

    name = "Bash"
    description = (
        "Run a command with bash in the worktree. Only the worktree and /tmp ($TMPDIR) can be "
        "written. There is no input and no terminal. Everything that the command starts ends with "
        f"it. Default timeout {DEFAULT_SECONDS} s; long output is cut in its middle."
    )
    parameters = parameters(
        {
            "command": {"type": "string", "minLength": 1},
            "timeout": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": MAX_SECONDS,
                "description": "Seconds.",
            },
        },
        required=["command"],
    )
    repeatable = False
    uses_files = True
    changes_files = True

    def __init__(self, choose: Callable[[], Confinement] = confinement) -> None:
        self._choose = choose

    def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
        command = _usable(arguments["command"])
        seconds = min(arguments.get("timeout", DEFAULT_SECONDS), workspace.limits.seconds)
        with _scratch(workspace) as scratch, _git_link_kept(workspace.root) as was_changed:
            plan = self._choose().plan(command, workspace, scratch)
            reader, writer = os.pipe()
            try:
                process = start(plan, output=writer)
            except BaseException:
                os.close(reader)
                raise
            finally:
                os.close(writer)
            run = _Run(process, reader, workspace, seconds)
            try:
                run.watch()
            finally:
                run.bury()
        return run.report("; .git was changed, and was put back" if was_changed() else "")


def _usable(command: str) -> str:
    try:
        raw = os.fsencode(command)
    except UnicodeEncodeError as error:
        raise ToolError(f"The command has characters without a UTF-8 form: {error}") from error
    if b"\0" in raw:
        raise ToolError("The command has a NUL character.")
    if len(raw) > MAX_COMMAND_BYTES:
        raise ToolError(f"The command is longer than {MAX_COMMAND_BYTES} bytes; write a script.")
    return command


@dataclass
class _Run:
    """One command while it runs; `ended_because` is set once the engine or a limit ends it."""

    process: subprocess.Popen[bytes]
    reader: int
    workspace: Workspace
    seconds: float
    ended_because: str = ""
    was_stopped: bool = False
    is_over: bool = False

    def __post_init__(self) -> None:
        limits = self.workspace.limits
        self._kept = KeptOutput(limits.output_bytes - _ROOM_FOR_ENDING)
        self._whole = KeptOutput(limits.whole_bytes - _ROOM_FOR_ENDING)
        self._poll = select.poll()
        self._poll.register(self.reader, select.POLLIN)
        os.set_blocking(self.reader, False)
        # A wish: the user's share of pipe memory may be used up.
        with suppress(OSError):
            fcntl.fcntl(self.reader, fcntl.F_SETPIPE_SZ, _CHUNK_BYTES)

    def watch(self) -> None:
        """Take the output until all is over or a limit is reached."""
        deadline = time.monotonic() + self.seconds
        next_look = 0.0
        while not self._at_end(_LOOK_SECONDS):
            now = time.monotonic()
            if self.workspace.stop.is_set():
                self.was_stopped = True
                return self._end_gently()
            if now >= deadline:
                self.ended_because = f"ended by its timeout of {self.seconds:g} s"
                return self._end_gently()
            if now < next_look:
                continue
            # A chatty command comes by here at each chunk; it is not counted each time.
            next_look = now + _LOOK_SECONDS
            if self._is_too_big():
                return None
        return None

    def bury(self) -> None:
        """End what is left, at once, and wait until it is gone."""
        if not self.is_over:
            # The monitor takes everything with it; the pipe is closed when the last has ended.
            self.process.kill()
            self._drain_until(time.monotonic() + BURIAL_SECONDS)
        os.close(self.reader)
        self.process.wait()

    def report(self, remark: str) -> str:
        """The output and how it ended. Raises `Interrupted`, or `ToolError` for a broken limit."""
        ending = f"[{self._ending()}{remark}]"
        if self._kept.is_cut:
            self.workspace.spool.leave(self._whole, ending)
        told = self._kept.told(ending, self.workspace.redactor)
        if self.was_stopped:
            raise Interrupted(told)
        if self.ended_because:
            raise ToolError(told)
        return told

    def _ending(self) -> str:
        if self.was_stopped:
            return "ended: the execution was stopped"
        code = self.process.returncode
        return self.ended_because or f"exit code {code if code >= 0 else 128 - code}"

    def _at_end(self, seconds: float) -> bool:
        """Take what comes within the time; whether everyone has closed the output."""
        if not self._poll.poll(seconds * 1000):
            return False
        try:
            chunk = os.read(self.reader, _CHUNK_BYTES)
        except BlockingIOError:
            return False
        self._kept.add(chunk)
        self._whole.add(chunk)
        self.is_over = not chunk
        return self.is_over

    def _drain_until(self, deadline: float) -> bool:
        while time.monotonic() < deadline:
            if self._at_end(_LOOK_SECONDS):
                return True
        return False

    def _is_too_big(self) -> bool:
        limits = self.workspace.limits
        counted = census.count_below(self.process.pid, at_most=limits.tasks)
        if counted.tasks > limits.tasks:
            self.ended_because = f"ended: more than {limits.tasks} processes and threads"
        elif counted.memory_bytes > limits.memory_bytes:
            self.ended_because = f"ended: more than {limits.memory_bytes // 1024**2} MiB of memory"
        return bool(self.ended_because)

    def _end_gently(self) -> None:
        """Ask the command's group to end, and give it a moment to do so."""
        for leader in census.children(self.process.pid):
            try:
                os.killpg(leader, signal.SIGTERM)
            except (ProcessLookupError, PermissionError):  # It leads no group yet.
                continue
        self._drain_until(time.monotonic() + GRACE_SECONDS)


@contextmanager
def _scratch(workspace: Workspace) -> Iterator[Path]:
    """The workspace's folder for temporary files, or one for this command alone."""
    if workspace.scratch is not None:
        prepare_scratch(workspace.scratch)
        yield workspace.scratch
        return
    scratch = Path(tempfile.mkdtemp(prefix="signalbox-"))
    try:
        prepare_scratch(scratch)
        yield scratch
    finally:
        _remove(scratch)


def _remove(path: Path) -> None:
    # Not shutil.rmtree: it recurses, and a command can nest folders deeper than Python's stack.
    subprocess.run(["rm", "-rf", "--", str(path)], capture_output=True, check=False)


@contextmanager
def _git_link_kept(root: Path) -> Iterator[Callable[[], bool]]:
    """Put a worktree's `.git` file back if the command changed it, as Landlock cannot forbid.

    It names the repository whose configuration the server's git trusts. Yields whether it was put
    back, to be asked after the block.
    """
    link = root / ".git"
    before = _git_link(link)
    changes: list[bool] = []
    try:
        yield lambda: bool(changes)
    finally:
        if before is not None and _git_link(link) != before:
            _remove(link)
            link.write_bytes(before)
            changes.append(True)


def _git_link(path: Path) -> bytes | None:
    """The content of the `.git` file, None when it is anything else."""
    if path.is_symlink() or not path.is_file():
        return None
    try:
        return path.read_bytes()
    except PermissionError:
        return None
