"""Keep a list of programs running side by side, until told to stop."""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

TETHER = Path(__file__).with_name("tether.py")
COLOURS = {"red": 31, "green": 32, "yellow": 33, "blue": 34, "magenta": 35, "cyan": 36}
GLANCE = 0.1  # Seconds between two looks at who has ended.
ONE_REQUEST = 1.0  # Seconds within which requests to stop count as one.
LINE_BYTES = 65536  # A program that writes no line ends does not fill our memory.


@dataclass(frozen=True)
class Program:
    """What to run, and how its lines look.

    A program in the `foreground` runs once and writes to the terminal itself, without a prefix.
    `fds` are open files of ours that it inherits.
    """

    name: str
    argv: tuple[str, ...]
    colour: str = ""
    foreground: bool = False
    fds: tuple[int, ...] = ()


@dataclass(frozen=True)
class Patience:
    """Seconds: of the first and the longest pause before a restart, of a run that counts as
    sound, and of the wait between SIGTERM and SIGKILL."""

    first: float = 0.5
    longest: float = 10.0
    sound: float = 60.0
    stop: float = 30.0

    def pause(self, failures: int) -> float:
        """The pause before the restart after so many failures in a row, from 1."""
        return min(self.first * 2.0 ** min(failures - 1, 30), self.longest)


@dataclass
class Child:
    """One program's process, over all its restarts."""

    program: Program
    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0
    failures: int = 0
    due: float | None = 0.0
    unfinished: bytes = field(default=b"", repr=False)


class Supervisor:
    """Run programs until SIGINT, SIGTERM or SIGHUP; leave no process behind.

    Each child has a session of its own, so Ctrl-C reaches us alone and we decide who ends how.
    A second signal ends everything at once. `run` belongs on the main thread: signals arrive
    there, and the kernel ties a child to the thread that started it.
    """

    def __init__(
        self,
        programs: Iterable[Program],
        *,
        out: TextIO | None = None,
        patience: Patience | None = None,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self._out = out or sys.stdout
        self._patience = patience or Patience()
        self._environ = {**(os.environ if environ is None else environ), "PYTHONUNBUFFERED": "1"}
        self._folder = folder
        self._children: list[Child] = []
        self._selector = selectors.DefaultSelector()
        self._told_to_stop: float | None = None
        self._told_to_hurry = False
        self._width = 0
        for program in programs:
            self.add(program)

    def add(self, program: Program) -> None:
        """Have one more program run."""
        self._children.append(Child(program))
        if not program.foreground:
            self._width = max(self._width, len(program.name))

    def request_stop(self) -> None:
        """Have `run` stop everything and return; asked again later, kill what still runs."""
        now = time.monotonic()
        if self._told_to_stop is None:
            self._told_to_stop = now
        # One Ctrl-C may arrive twice, from the terminal and from make.
        self._told_to_hurry = now - self._told_to_stop > ONE_REQUEST

    def say(self, line: str) -> None:
        """Write a line of our own among the programs' lines."""
        self._write("signalbox", "", line)

    def run(self, every_glance: Callable[[], None] = lambda: None) -> None:
        """Start all, restart what dies, until a signal; then stop all.

        `every_glance` is called about ten times a second and should return soon.
        """
        before = self._listen()
        try:
            while self._told_to_stop is None:
                self._start_due()
                self._read(GLANCE)
                self._look()
                every_glance()
        finally:
            self._stop_all()
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()

    def _listen(self) -> dict[signal.Signals, Any]:
        def stop(number: int, frame: FrameType | None) -> None:
            self.request_stop()

        return {
            number: signal.signal(number, stop)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }

    def _start_due(self) -> None:
        now = time.monotonic()
        for child in self._children:
            if child.process is None and child.due is not None and child.due <= now:
                self._start(child)

    def _start(self, child: Child) -> None:
        program = child.program
        tether = [sys.executable, "-I", "-S", str(TETHER), str(os.getpid())]
        piped = None if program.foreground else subprocess.PIPE
        child.process = subprocess.Popen(
            [*tether, *program.argv],
            stdin=subprocess.DEVNULL,
            stdout=piped,
            stderr=None if program.foreground else subprocess.STDOUT,
            env=self._environ,
            cwd=self._folder,
            pass_fds=program.fds,
            start_new_session=True,
        )
        child.started = time.monotonic()
        if child.process.stdout:
            os.set_blocking(child.process.stdout.fileno(), False)
            self._selector.register(child.process.stdout, selectors.EVENT_READ, child)

    def _read(self, seconds: float) -> None:
        if not self._selector.get_map():
            time.sleep(seconds)
            return
        for key, _ in self._selector.select(seconds):
            self._read_lines(key.data)

    def _read_lines(self, child: Child) -> bool:
        """Write what the child has said; whether there may be more."""
        if child.process is None or child.process.stdout is None:
            return False
        said = child.process.stdout.read(LINE_BYTES)
        if said == b"":
            self._selector.unregister(child.process.stdout)
            child.process.stdout.close()
            child.process.stdout = None
        *lines, child.unfinished = (child.unfinished + (said or b"")).split(b"\n")
        if len(child.unfinished) > LINE_BYTES:
            lines, child.unfinished = [*lines, child.unfinished], b""
        for line in lines:
            self._say_for(child, line)
        return bool(said)

    def _say_for(self, child: Child, line: bytes) -> None:
        text = line.decode(errors="replace").rstrip("\r")
        if not text:  # Celery and tracebacks space theirs; under a prefix it looks like a mistake.
            return
        self._write(child.program.name, child.program.colour, text)

    def _look(self) -> None:
        for child in self._children:
            if child.process is not None and child.process.poll() is not None:
                code = self._bury(child)
                self._decide(child, code)

    def _bury(self, child: Child) -> int:
        """Take away an ended process, its last lines and what is left of its group."""
        process = child.process
        if process is None or process.returncode is None:
            raise RuntimeError(f"{child.program.name} has not ended")
        _signal_group(process.pid, signal.SIGKILL)
        while self._read_lines(child):
            pass
        if process.stdout is not None:
            self._selector.unregister(process.stdout)
            process.stdout.close()
        if child.unfinished:
            self._say_for(child, child.unfinished)
            child.unfinished = b""
        child.process = None
        return process.returncode

    def _decide(self, child: Child, code: int) -> None:
        child.due = None
        if child.program.foreground:
            if code:
                self.say(f"{child.program.name} {_how(code)}")
            return
        now = time.monotonic()
        lived = now - child.started
        child.failures = 1 if lived >= self._patience.sound else child.failures + 1
        pause = self._patience.pause(child.failures)
        child.due = now + pause
        self.say(f"{child.program.name} {_how(code)}; it starts again in {pause:g} s")

    def _stop_all(self) -> None:
        living = [child for child in self._children if child.process is not None]
        if living:
            self.say("stopping: " + ", ".join(child.program.name for child in living))
        for child in living:
            if child.process is not None:
                child.process.terminate()
        deadline = time.monotonic() + self._patience.stop
        while any(child.process for child in living):
            if time.monotonic() > deadline or self._told_to_hurry:
                self._kill(living)
            self._read(GLANCE)
            for child in living:
                if child.process is not None and child.process.poll() is not None:
                    self._bury(child)

    def _kill(self, children: Iterable[Child]) -> None:
        for child in children:
            if child.process is not None and child.process.poll() is None:
                self.say(f"{child.program.name} does not stop; it is killed")
                _signal_group(child.process.pid, signal.SIGKILL)
                child.process.wait()

    def _write(self, name: str, colour: str, line: str) -> None:
        prefix = f"{name:<{max(self._width, len('signalbox'))}} | "
        coloured = self._out.isatty() and "NO_COLOR" not in self._environ
        if coloured and colour in COLOURS:
            prefix = f"\x1b[{COLOURS[colour]}m{prefix}\x1b[0m"
        try:
            self._out.write(f"{prefix}{line}\n")
            self._out.flush()
        except OSError:
            # The terminal is gone; to stop cleanly matters more than to say so.
            self._out = open(os.devnull, "w")  # noqa: SIM115 - It is used until we end.


def _signal_group(leader: int, number: signal.Signals) -> None:
    try:
        os.killpg(leader, number)
    except (ProcessLookupError, PermissionError):
        # The group is empty; macOS answers with a refusal when only zombies are left.
        return


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
