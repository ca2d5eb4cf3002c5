"""Bash runs a command within its limits, and nothing of it is left when it has ended."""

import os
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from agents.runtime.facts import Outcome, ToolRequest
from agents.runtime.tools import census
from agents.runtime.tools.confine import Confinement
from agents.runtime.tools.registry import Interrupted, Limits, Toolbox, ToolError, Workspace
from agents.runtime.tools.shell import Bash
from tests.agents.runtime.confinements import EVERY, processes_with, run, soon

MIB = 1024**2


@pytest.fixture(params=EVERY)
def way(request: pytest.FixtureRequest) -> Confinement:
    return EVERY[request.param]()


def test_both_outputs_and_the_exit_code_are_told(
    way: Confinement, workspace: Workspace, root: Path
) -> None:
    output = run(way, workspace, "echo out; echo err >&2; pwd; echo x > made; exit 3")
    assert output == f"out\nerr\n{root}\n[exit code 3]"
    assert (root / "made").read_text() == "x\n"
    assert run(way, workspace, "true") == "(no output)\n[exit code 0]"
    assert run(way, workspace, "kill -SEGV $$").endswith(f"[exit code {128 + signal.SIGSEGV}]")


def test_a_command_has_no_input_and_no_terminal(way: Confinement, workspace: Workspace) -> None:
    assert run(way, workspace, "cat; tty; : 2>/dev/null < /dev/tty").startswith("not a tty\n")


def test_signals_have_their_usual_effect(way: Confinement, workspace: Workspace) -> None:
    # Python ignores SIGPIPE, and a program that inherits that writes on for ever.
    assert run(way, workspace, "yes | head -1; echo ${PIPESTATUS[0]}").startswith("y\n141\n")


def test_the_environment_is_the_boards_and_not_the_servers(
    way: Confinement, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://secret")
    workspace = Workspace(root=root, environment={"BOARD": "a 'b'\n$c", "LANG": "C"})
    output = run(way, workspace, 'env; printf "<%s>" "$BOARD"')
    assert "secret" not in output
    assert "<a 'b'\n$c>" in output
    names = {line.partition("=")[0] for line in output.splitlines() if "=" in line}
    allowed = {"PATH", "HOME", "TMPDIR", "TERM", "LANG", "PWD", "BOARD", "GIT_CONFIG_NOSYSTEM"}
    assert names - {"SHLVL", "_", "OLDPWD"} == allowed


def test_a_board_variable_does_not_reach_the_launcher(way: Confinement, root: Path) -> None:
    # A library of the worktree, loaded into the launcher, would run unconfined.
    workspace = Workspace(root=root, environment={"LD_PRELOAD": str(root / "evil.so")})
    output = run(way, workspace, "true")
    assert output.count("cannot be preloaded") <= 2  # bash and what it starts, never python
    assert "[exit code 0]" in output


def test_home_and_temporary_files_are_private_and_gone_afterwards(
    way: Confinement, workspace: Workspace, mark: str
) -> None:
    output = run(way, workspace, f'echo x > "$TMPDIR/{mark}"; ls ~; echo "$TMPDIR"')
    assert mark in output
    assert not Path(tempfile.gettempdir(), mark).exists()
    folder = output.splitlines()[-2]
    assert way.name == "bwrap" or not Path(folder).exists()


def test_a_scratch_folder_outlives_the_command(
    way: Confinement, root: Path, tmp_path: Path
) -> None:
    workspace = Workspace(root=root, scratch=tmp_path / "scratch")
    run(way, workspace, 'echo kept > "$TMPDIR/a"')
    assert run(way, workspace, 'cat "$TMPDIR/a"') == "kept\n[exit code 0]"


def test_a_timeout_asks_the_command_to_end_first(way: Confinement, workspace: Workspace) -> None:
    began = time.monotonic()
    with pytest.raises(ToolError, match=r"(?s)begun.*bye.*ended by its timeout of 2 s"):
        # Not `sleep 60 & wait`: the sleep may die first, and the shell come to its end untrapped.
        run(
            way,
            workspace,
            "trap 'echo bye; exit' TERM; echo begun; while :; do sleep 0.1; done",
            timeout=2,
        )
    assert time.monotonic() - began < 10


def test_what_ignores_the_request_and_daemonises_is_gone(
    way: Confinement, workspace: Workspace, root: Path, mark: str
) -> None:
    script = (
        f"daemon() {{ trap '' TERM HUP INT; echo $BASHPID >> pids; sleep 600; : {mark}; }}\n"
        "export -f daemon\n"
        "setsid bash -c 'daemon; :' & disown\n"
        "(setsid bash -c '(daemon; :) >/dev/null 2>&1 </dev/null &' &)\n"
        'while [ "$(wc -l < pids)" -lt 2 ]; do sleep 0.01; done; touch ready; daemon'
    )
    with pytest.raises(ToolError, match=r"timeout of 1.5 s"):
        run(way, workspace, f": {mark}; touch pids; {script}", timeout=1.5)
    assert (root / "ready").exists()
    assert processes_with(mark) == []
    # Killed, they cannot write; for a moment the kernel still lists them.
    assert soon(lambda: not _that_write_to(root))


def test_what_is_left_running_ends_with_the_command(
    way: Confinement, workspace: Workspace, root: Path, mark: str
) -> None:
    began = time.monotonic()
    command = (
        f"(trap '' TERM; setsid bash -c 'touch ready; sleep 600; : {mark}' &);"
        "while [ ! -e ready ]; do sleep 0.01; done; echo done"
    )
    assert run(way, workspace, command) == "done\n[exit code 0]"
    assert time.monotonic() - began < 10
    assert processes_with(mark) == []
    assert soon(lambda: not _that_write_to(root))


def test_a_stopped_command_ends_and_tells_its_output(
    way: Confinement, root: Path, mark: str
) -> None:
    stop = threading.Event()
    workspace = Workspace(root=root, stop=stop)
    waiting = threading.Thread(target=lambda: soon((root / "begun").exists) and stop.set())
    waiting.start()
    with pytest.raises(Interrupted) as stopped:
        run(way, workspace, f"echo some; touch begun; sleep 600; : {mark}")
    waiting.join()
    assert stopped.value.output_so_far.startswith("some\n[ended: the execution was stopped")
    assert processes_with(mark) == []


def test_the_toolbox_records_a_stopped_command_as_interrupted(root: Path) -> None:
    stop = threading.Event()
    stop.set()
    toolbox = Toolbox([Bash(lambda: Confinement("none"))], ["Bash"])
    request = ToolRequest("1", "Bash", {"command": "sleep 600"})
    result = toolbox.call(request, Workspace(root=root, stop=stop))
    assert result.outcome is Outcome.INTERRUPTED


def test_a_worker_that_is_killed_takes_its_commands_along(
    way: Confinement, root: Path, mark: str
) -> None:
    source = (
        "import threading; from pathlib import Path\n"
        "from agents.runtime.tools.confine import Confinement\n"
        "from agents.runtime.tools.registry import Workspace\n"
        "from agents.runtime.tools.shell import Bash\n"
        f"way = Confinement({way.name!r}, pid_namespace={way.pid_namespace})\n"
        "command = '''(setsid bash -c \"trap : TERM; touch ready; sleep 600; : MARK\" &)\n"
        "sleep 600; : MARK'''\n"
        f"root, scratch = Path({str(root)!r}), Path({str(root.with_name('scratch'))!r})\n"
        "workspace = Workspace(root=root, scratch=scratch)\n"
        "run = lambda: Bash(lambda: way).run({'command': command}, workspace)\n"
        "threading.Thread(target=run).start()\n"
    ).replace("MARK", mark)
    worker = subprocess.Popen([sys.executable, "-c", source], cwd=_project())
    try:
        assert soon((root / "ready").exists)
        # Its two commands, at the least; the source has the mark too.
        assert len(processes_with(mark)) >= 3
    finally:
        worker.kill()
        worker.wait()
    assert soon(lambda: not processes_with(mark))
    assert soon(lambda: not _that_write_to(root))


def test_a_gigabyte_of_output_takes_bounded_memory(way: Confinement, workspace: Workspace) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    output = run(way, workspace, "echo first; head -c 1G /dev/zero; echo; echo last", timeout=300)
    grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 8 * 1024
    assert output.startswith("first\n\ufffd")
    assert output.endswith("\nlast\n[exit code 0]")
    assert "bytes left out ...]" in output
    assert "\0" not in output


def test_output_that_was_closed_early_does_not_end_the_command(
    way: Confinement, workspace: Workspace, root: Path
) -> None:
    assert "[exit code 7]" in run(way, workspace, "exec >&- 2>&-; sleep 0.5; touch done; exit 7")
    assert (root / "done").exists()


def test_one_process_cannot_take_more_memory_than_its_limit(way: Confinement, root: Path) -> None:
    workspace = Workspace(root=root, limits=Limits(memory_bytes=256 * MIB))
    output = run(way, workspace, f"python3 -c 'len(bytearray({512 * MIB})); print(\"got it\")'")
    assert "MemoryError" in output
    assert "got it" not in output


def test_many_processes_cannot_take_more_memory_together(
    way: Confinement, root: Path, mark: str
) -> None:
    workspace = Workspace(root=root, limits=Limits(memory_bytes=256 * MIB))
    hog = f"python3 -c 'import time; a = bytearray({100 * MIB}); time.sleep(60)' {mark}"
    with pytest.raises(ToolError, match="more than 256 MiB of memory"):
        run(way, workspace, " & ".join([hog] * 4) + " & wait", timeout=30)
    assert processes_with(mark) == []


# They double nine times and then wait: enough to cross the limit, and not to starve the machine's
# other tests. Endless ones were measured by hand: gone within 0.5 s on two idle cores.
BOMBS = {
    "in one group": "b() { (($1)) && { b $(($1 - 1)) & b $(($1 - 1)) & }; sleep 300; }; b 9",
    "each in its own session": (
        "echo '(($1)) && { setsid bash b $(($1 - 1)) & setsid bash b $(($1 - 1)) & }; sleep 300'"
        " > b; bash b 9"
    ),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_fork_bomb_is_contained(way: Confinement, root: Path, bomb: str) -> None:
    workspace = Workspace(root=root, limits=Limits(tasks=150))
    began = time.monotonic()
    with pytest.raises(ToolError, match="more than 150 processes and threads"):
        run(way, workspace, BOMBS[bomb], timeout=200)
    assert time.monotonic() - began < 60
    assert soon(lambda: not _that_write_to(root))


def test_a_file_cannot_grow_beyond_its_limit(way: Confinement, root: Path) -> None:
    workspace = Workspace(root=root, limits=Limits(file_bytes=MIB))
    output = run(way, workspace, "head -c 3M /dev/zero > big")
    assert f"[exit code {128 + signal.SIGXFSZ}]" in output
    assert (root / "big").stat().st_size == MIB


def test_processor_time_is_limited(way: Confinement, root: Path) -> None:
    workspace = Workspace(root=root, limits=Limits(cpu_seconds=1))
    assert f"[exit code {128 + signal.SIGKILL}]" in run(
        way, workspace, "while :; do :; done", timeout=30
    )


@pytest.mark.parametrize(
    ("command", "problem"), [("a\0b", "NUL"), ("x" * 100_001, "longer"), ("\ud800", "UTF-8")]
)
def test_a_command_that_cannot_be_passed_on_is_told(
    workspace: Workspace, command: str, problem: str
) -> None:
    with pytest.raises(ToolError, match=problem):
        run(Confinement("none"), workspace, command)


def test_a_long_command_runs(way: Confinement, workspace: Workspace) -> None:
    assert run(way, workspace, f"echo {'x' * 99_000} | wc -c") == "99001\n[exit code 0]"


def test_a_workspace_may_shorten_every_timeout(root: Path) -> None:
    workspace = Workspace(root=root, limits=Limits(seconds=0.3))
    with pytest.raises(ToolError, match=r"timeout of 0.3 s"):
        run(Confinement("none"), workspace, "sleep 60", timeout=50)


def test_a_worktrees_git_link_survives_the_command(
    way: Confinement, workspace: Workspace, root: Path
) -> None:
    (root / ".git").write_text("gitdir: /repository/.git/worktrees/a\n")
    for attack in (
        "echo gitdir: evil > .git",
        "rm -f .git; mkdir .git; echo evil > .git/config",
        "mv .git old; ln -s old .git",
        "chmod 0 .git; rm -f .git",
    ):
        run(way, workspace, attack)
        assert not (root / ".git").is_symlink()
        assert (root / ".git").read_text() == "gitdir: /repository/.git/worktrees/a\n"


def test_descriptors_do_not_leak(way: Confinement, workspace: Workspace) -> None:
    before = len(os.listdir("/proc/self/fd"))
    output = run(way, workspace, "for fd in 3 4 5 6 7 8 9; do true 2>&- <&$fd && echo leak; done")
    assert "leak" not in output
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_census_counts_threads_and_memory_below_a_process() -> None:
    source = (
        "import threading; a = bytearray(50 * 2**20); e = threading.Event()\n"
        "[threading.Thread(target=e.wait, daemon=True).start() for _ in range(4)]\n"
        "print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        counted = census.count_below(os.getpid(), at_most=1000)
        assert child.pid in census.children(os.getpid())
        child.communicate(b"\n")
    assert counted.tasks >= 5
    assert counted.memory_bytes >= 50 * MIB


def _project() -> Path:
    return Path(__file__).resolve().parents[3]


def _that_write_to(root: Path) -> list[str]:
    """Processes whose working folder is the worktree: what a hidden command line cannot hide."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.readlink(f"/proc/{name}/cwd") == str(root):
                found.append(name)
        except OSError:
            continue
    return found
