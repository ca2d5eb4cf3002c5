"""Ctrl-C ends a command at any moment without a word of Python, and leaves no process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil

PROJECT = Path(__file__).resolve().parents[2]
SECONDS = 30.0


def servers_of(home: Path) -> list[psutil.Process]:
    # They are of another account or in another group, but name their folder, or stand in it.
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd"])
        if any(
            str(home) in word
            for word in [*(process.info["cmdline"] or []), process.info["cwd"] or ""]
        )
    ]


def test_in_the_middle_of_a_first_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    command = subprocess.Popen(
        [sys.executable, "manage.py", "up", "--port", "0"],
        cwd=PROJECT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "SIGNALBOX_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        # A test run in the background of a shell has it ignored, which its children inherit.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    try:
        deadline = time.monotonic() + SECONDS
        while not (home / "services.json").exists():
            assert time.monotonic() < deadline, "it never began to start its services"
            time.sleep(0.02)
        os.killpg(command.pid, signal.SIGINT)
        said, _ = command.communicate(timeout=SECONDS)
        assert (command.returncode, said) == (128 + signal.SIGINT, "")
        assert not servers_of(home)
    finally:
        command.kill()
        for server in servers_of(home):
            server.kill()
