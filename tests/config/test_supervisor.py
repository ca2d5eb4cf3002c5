"""What the supervisor promises of the programs that it runs."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path

import psutil
import pytest

from config.supervisor import Patience, Program, Supervisor

PROJECT = Path(__file__).resolve().parents[2]
IMPATIENT = Patience(first=0.05, longest=0.2, sound=60, stop=1.0)
SECONDS = 20.0


def python(source: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(source))


def until(fact: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + SECONDS
    while not fact():
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Stage:
    """A supervisor on the main thread, which stops as soon as a fact holds."""

    def __init__(self) -> None:
        self.out = StringIO()

    def run(self, programs: list[Program], *, until: Callable[[], bool]) -> str:
        supervisor = Supervisor(programs, out=self.out, patience=IMPATIENT)
        deadline = time.monotonic() + SECONDS

        def look() -> None:
            if until() or time.monotonic() > deadline:
                supervisor.request_stop()

        supervisor.run(look)
        assert time.monotonic() < deadline + IMPATIENT.stop, self.out.getvalue()
        return self.out.getvalue()

    def says(self, text: str) -> bool:
        return text in self.out.getvalue()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_each_line_carries_the_name_of_its_program(stage: Stage) -> None:
    programs = [
        Program("one", python("import time; print('from one'); time.sleep(60)")),
        Program("second", python("import sys, time; sys.stderr.write('aside\\n'); time.sleep(60)")),
    ]
    said = stage.run(programs, until=lambda: stage.says("from one") and stage.says("aside"))
    assert "one       | from one\n" in said
    assert "second    | aside\n" in said


def test_what_dies_starts_again_after_longer_and_longer_pauses(stage: Stage) -> None:
    said = stage.run(
        [Program("frail", python("print('hello'); raise SystemExit(3)"))],
        until=lambda: stage.out.getvalue().count("hello") >= 4,
    )
    assert "frail ended with code 3; it starts again in 0.05 s" in said
    assert "frail ended with code 3; it starts again in 0.1 s" in said
    assert "frail ended with code 3; it starts again in 0.2 s" in said


def test_the_pause_doubles_up_to_its_limit() -> None:
    pauses = [Patience().pause(failures) for failures in range(1, 8)]
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]
    assert Patience().pause(100_000) == 10


def test_a_run_that_was_sound_counts_as_a_first_failure(stage: Stage) -> None:
    supervisor = Supervisor(
        [Program("frail", python("print('hello')"))],
        out=stage.out,
        patience=Patience(first=0.05, longest=9, sound=0),
    )
    supervisor.run(lambda: stage.out.getvalue().count("hello") >= 4 and supervisor.request_stop())
    assert "again in 0.1 s" not in stage.out.getvalue()


def test_a_program_hears_sigterm_and_may_finish(stage: Stage) -> None:
    polite = """
        import signal, sys, time
        def end(*_):
            print("finished my work", flush=True)
            sys.exit(0)
        signal.signal(signal.SIGTERM, end)
        print("ready", flush=True)
        time.sleep(60)
    """
    said = stage.run([Program("polite", python(polite))], until=lambda: stage.says("ready"))
    assert "finished my work" in said
    assert "killed" not in said


def test_a_stubborn_program_and_its_group_are_killed(stage: Stage, tmp_path: Path) -> None:
    stubborn = f"""
        import os, pathlib, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen(["sleep", "60"])
        pathlib.Path({str(tmp_path / "pids")!r}).write_text(f"{{os.getpid()}} {{child.pid}}")
        print("ready", flush=True)
        time.sleep(60)
    """
    said = stage.run([Program("stubborn", python(stubborn))], until=lambda: stage.says("ready"))
    assert "stubborn does not stop; it is killed" in said
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    until(lambda: not any(map(is_alive, pids)), "the group ends")


def test_what_a_program_leaves_behind_ends_with_it(stage: Stage, tmp_path: Path) -> None:
    careless = f"""
        import pathlib, subprocess, sys
        child = subprocess.Popen(["sleep", "60"])
        pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(child.pid))
        sys.exit(1)
    """
    stage.run([Program("careless", python(careless))], until=lambda: stage.says("ended with code"))
    pid = int((tmp_path / "pid").read_text())
    until(lambda: not is_alive(pid), "the orphan ends")


def test_a_program_in_the_foreground_runs_once_and_without_prefix(
    stage: Stage, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    done = tmp_path / "done"
    source = f"import pathlib; print('shown as it is'); pathlib.Path({str(done)!r}).touch()"
    runs = [Program("demo", python(source), foreground=True)]
    glances = iter(range(10_000))
    stage.run(runs, until=lambda: done.exists() and next(glances) > 5)
    assert capfd.readouterr().out == "shown as it is\n"


def test_an_empty_line_is_left_out(stage: Stage) -> None:
    program = Program("one", python("print('a'); print(); print('b')"))
    said = stage.run([program], until=lambda: stage.says("b"))
    assert [line.partition("| ")[2] for line in said.splitlines()][:2] == ["a", "b"]


def test_a_line_without_an_end_is_shown_when_its_program_ends(stage: Stage) -> None:
    source = "import sys; sys.stdout.write('half a line'); sys.stdout.flush()"
    said = stage.run([Program("terse", python(source))], until=lambda: stage.says("half a line\n"))
    assert "terse     | half a line\n" in said


def test_programs_inherit_the_files_they_are_given(stage: Stage, tmp_path: Path) -> None:
    with (tmp_path / "given").open("w") as given:
        source = f"import os; os.write({given.fileno()}, b'reached'); print('done')"
        stage.run(
            [Program("heir", python(source), fds=(given.fileno(),))],
            until=lambda: stage.says("done"),
        )
    assert (tmp_path / "given").read_text().startswith("reached")


POLITE = "import os, time; print('pid', os.getpid(), flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {POLITE}"


class Terminal:
    """A supervisor in a process of its own, as in a terminal."""

    def __init__(self, *, source: str, stop: float) -> None:
        scene = f"""
            import sys
            from config.supervisor import Patience, Program, Supervisor
            sources = {{"a": {POLITE!r}, "b": {source!r}}}
            programs = [
                Program(name, (sys.executable, "-c", source)) for name, source in sources.items()
            ]
            Supervisor(programs, patience=Patience(stop={stop})).run()
        """
        self.process = subprocess.Popen(
            python(scene), cwd=PROJECT, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.said = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.said += line

    def pids(self) -> list[int]:
        until(lambda: self.said.count("pid") == 2, "both programs run")
        return [int(line.split()[-1]) for line in self.said.splitlines() if " pid " in line]

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(timeout=SECONDS)


@pytest.fixture
def open_terminal() -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_one(*, source: str = POLITE, stop: float = 10) -> Terminal:
        opened.append(Terminal(source=source, stop=stop))
        return opened[-1]

    yield open_one
    for terminal in opened:
        terminal.close()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name
)
def test_a_signal_ends_all_and_leaves_no_process(
    open_terminal: Callable[..., Terminal], number: signal.Signals
) -> None:
    terminal = open_terminal()
    pids = terminal.pids()
    os.killpg(terminal.process.pid, number)
    assert terminal.process.wait(SECONDS) == 0
    assert not any(map(is_alive, pids))
    assert "killed" not in terminal.said


def test_a_signal_that_arrives_twice_at_once_is_still_patient(
    open_terminal: Callable[..., Terminal],
) -> None:
    terminal = open_terminal(source=STUBBORN, stop=2)
    terminal.pids()
    before = time.monotonic()
    terminal.process.send_signal(signal.SIGINT)
    terminal.process.send_signal(signal.SIGTERM)
    terminal.process.wait(SECONDS)
    assert time.monotonic() - before >= 2


def test_a_second_signal_kills_what_is_stubborn(open_terminal: Callable[..., Terminal]) -> None:
    terminal = open_terminal(source=STUBBORN, stop=600)
    pids = terminal.pids()

    def insist() -> bool:
        terminal.process.send_signal(signal.SIGINT)
        return terminal.process.poll() is not None

    until(insist, "the supervisor ends")
    assert not any(map(is_alive, pids))


def test_the_programs_die_with_a_supervisor_that_is_killed(
    open_terminal: Callable[..., Terminal],
) -> None:
    terminal = open_terminal(source=STUBBORN)
    pids = terminal.pids()
    terminal.process.kill()
    until(lambda: not any(map(is_alive, pids)), "the programs end")
