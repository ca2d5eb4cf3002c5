"""Chooses how commands are confined, and says what a confined command may reach."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from agents.runtime.tools import launch
from agents.runtime.tools.registry import ToolError, Workspace

ALLOW_UNCONFINED = "SIGNALBOX_ALLOW_UNCONFINED_BASH"
PROOF_SECONDS = 15

# The lowest priority, so that what is to end a fork bomb gets a turn before it: gone within 0.1 s
# on two idle cores, and after 3 to 7 s at equal priority. Where the kernel groups tasks by session
# (sched_autogroup), a bomb of many sessions evades it: as root on a loaded host we saw over 20 s.
NICENESS = 19

Mechanism = Literal["bwrap", "landlock", "none", "refused"]

# Older versions cannot keep a command from emptying files elsewhere (truncate).
LEAST_LANDLOCK_ABI = 3

_LAUNCHER = str(Path(launch.__file__).resolve())
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PROGRAMS = (
    "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store",
)  # fmt: skip
# Named one by one: the rest of /etc holds keys, password hashes and other programs' secrets.
_ETC = (
    "alternatives", "bash.bashrc", "ca-certificates", "ca-certificates.conf", "debian_version",
    "fonts", "gai.conf", "group", "host.conf", "hosts", "inputrc", "ld.so.cache", "ld.so.conf",
    "ld.so.conf.d", "locale.alias", "localtime", "magic", "mime.types", "networks", "nsswitch.conf",
    "os-release", "passwd", "pki/ca-trust", "pki/tls/certs", "pki/tls/cert.pem", "protocols",
    "resolv.conf", "rpc", "services", "shells", "ssl/cert.pem", "ssl/certs", "ssl/openssl.cnf",
    "terminfo", "timezone",
)  # fmt: skip
_PROC = (
    "cpuinfo", "filesystems", "loadavg", "meminfo", "stat", "sys/kernel", "sys/vm", "uptime",
    "version",
)  # fmt: skip
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty")


@dataclass(frozen=True, slots=True)
class Plan:
    """What `launch.py` is told, as JSON. `bwrap` is its argument list, empty without it; the three
    lists of paths are Landlock's, and only used when `confined`.
    """

    worker: int
    command: tuple[str, ...]
    folder: str
    environment: Mapping[str, str]
    limits: Mapping[str, int]
    bwrap: tuple[str, ...] = ()
    pid_namespace: bool = False
    niceness: int = NICENESS
    confined: bool = False
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Confinement:
    """A way to run commands. `pid_namespace` says that a command sees only its own processes."""

    name: Mechanism
    pid_namespace: bool = False
    problem: str = ""

    def plan(self, command: str, workspace: Workspace, scratch: Path) -> Plan:
        """The plan for a shell command. Raises `ToolError` when commands are refused."""
        if self.name == "refused":
            raise ToolError(f"Bash is not available here: {self.problem}")
        bash = shutil.which("bash", path=_SYSTEM_PATH)
        if bash is None:
            raise ToolError("Bash is not available here: there is no bash.")
        folder = str(workspace.root)
        temporary = "/tmp" if self.name == "bwrap" else str(scratch / "tmp")  # noqa: S108 - its own
        environment = _environment(workspace, temporary)
        plan = _Draft(workspace, scratch, environment)
        # bwrap's own first process must keep its priority, so the command lowers its own.
        nice = ("/usr/bin/nice", "-n", str(NICENESS)) if self.name == "bwrap" else ()
        return Plan(
            worker=os.getpid(),
            command=(*nice, bash, "-c", command),
            folder=folder,
            environment=environment,
            limits=_limits(workspace),
            bwrap=plan.bwrap() if self.name == "bwrap" else (),
            pid_namespace=self.pid_namespace,
            confined=self.name == "landlock",
            readable=(*plan.readable(), *(f"/proc/{name}" for name in _PROC)),
            writable=plan.writable(),
            devices=_DEVICES,
        )

    @property
    def _and_shared_memory(self) -> str:
        return "" if self.pid_namespace else "and System V's shared memory "

    def describe(self) -> str:
        """One sentence for the system check and `doctor`."""
        return {
            "bwrap": "Commands are confined by bwrap: they see their own files and processes only.",
            "landlock": (
                f"Commands are confined by Landlock (version {launch.landlock_abi()}): they open "
                "their own files only and reach no other process; sockets in the file system "
                f"{self._and_shared_memory}stay connectable and modes of files changeable. "
                "The package bubblewrap gives more."
            ),
            "none": f"Commands are NOT confined, since {ALLOW_UNCONFINED} is set: {self.problem}",
            "refused": f"Commands are refused: {self.problem}",
        }[self.name]


_choosing = threading.Lock()


def confinement() -> Confinement:
    """The strongest way that was proven to work here; tried out once per process."""
    with _choosing:
        return _strongest()


@lru_cache(maxsize=1)
def _strongest() -> Confinement:
    for candidate in (bwrap(), landlock()):
        if candidate is not None:
            return candidate
    problem = (
        "neither bwrap (package bubblewrap) nor Landlock (Linux 6.2 with PID namespaces, or 6.12) "
        "works here"
    )
    if os.environ.get(ALLOW_UNCONFINED, "").lower() in ("1", "true", "yes", "on"):
        return unconfined(problem)
    return Confinement("refused", problem=f"{problem}. {ALLOW_UNCONFINED}=1 allows it regardless.")


def bwrap() -> Confinement | None:
    """Confinement by bwrap, if it is there and works."""
    candidate = Confinement("bwrap", pid_namespace=True)
    return candidate if _bwrap_path() and _holds(candidate) else None


def landlock() -> Confinement | None:
    """Confinement by Landlock, if the kernel has a version that keeps what we promise.

    Before version 6 a command could signal the server, unless it has a PID namespace of its own.
    """
    abi = launch.landlock_abi()
    if abi < LEAST_LANDLOCK_ABI:
        return None
    apart = Confinement("landlock", pid_namespace=True)
    if _holds(apart):
        return apart
    together = Confinement("landlock")
    return together if abi >= launch.SCOPES_SINCE_ABI and _holds(together) else None


def unconfined(problem: str = "") -> Confinement:
    """No confinement; limits hold, and what is left running is ended all the same."""
    apart = Confinement("none", pid_namespace=True, problem=problem)
    return apart if _works(apart, "true") else Confinement("none", problem=problem)


def start(plan: Plan, *, output: int) -> subprocess.Popen[bytes]:
    """Start the plan in a session of its own, both outputs into the descriptor `output`.

    The calling thread must live until the process has ended: the kernel takes the end of the
    thread that started it for the worker's death.
    """
    # Through memory, since arguments and environment of a process can be read by others.
    told = os.memfd_create("plan")
    try:
        os.write(told, json.dumps(asdict(plan)).encode())
        os.lseek(told, 0, os.SEEK_SET)
        return subprocess.Popen(
            [sys.executable, "-I", "-S", _LAUNCHER, str(told)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={},  # The board's variables must not steer the launcher, which is not confined.
            cwd="/",
            start_new_session=True,
            pass_fds=(told,),
        )
    finally:
        os.close(told)


def _holds(candidate: Confinement) -> bool:
    """Whether a command runs, writes its folder, and does not see a file beside it."""
    with tempfile.TemporaryDirectory(prefix="signalbox-") as outside:
        secret = Path(outside, "secret")
        secret.write_text("secret")
        return _works(candidate, f"echo > written && ! cat '{secret}' && ! echo > '{secret}'")


def _works(candidate: Confinement, command: str) -> bool:
    with tempfile.TemporaryDirectory(prefix="signalbox-") as name:
        root, scratch = Path(name, "root"), Path(name, "scratch")
        root.mkdir()
        prepare_scratch(scratch)
        try:
            plan = candidate.plan(command, Workspace(root=root), scratch)
        except ToolError:
            return False
        with open(os.devnull, "wb") as nowhere:
            process = start(plan, output=nowhere.fileno())
        try:
            return process.wait(PROOF_SECONDS) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            process.kill()
            process.wait()


def prepare_scratch(scratch: Path) -> None:
    """Make the folders that a command has for `/tmp` and `/dev/shm`."""
    for name in ("tmp", "shm"):
        (scratch / name).mkdir(mode=0o700, parents=True, exist_ok=True)


@lru_cache(maxsize=1)
def _bwrap_path() -> str | None:
    return shutil.which("bwrap")


def _limits(workspace: Workspace) -> dict[str, int]:
    limits = workspace.limits
    return {
        "cpu_seconds": limits.cpu_seconds,
        "memory_bytes": limits.memory_bytes,
        "tasks": limits.tasks,
        "file_bytes": limits.file_bytes,
    }


def _environment(workspace: Workspace, temporary: str) -> dict[str, str]:
    """The board's variables over a few of ours; nothing of the server's."""
    return {
        "PATH": _default_path(),
        "HOME": temporary,
        "TMPDIR": temporary,
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "PWD": str(workspace.root),
        "GIT_CONFIG_NOSYSTEM": "1",  # It may hold secrets, so it cannot be read.
        **workspace.environment,
    }


def _default_path() -> str:
    """The server's own search path without the server's own programs, and with a Python."""
    named = os.environ.get("PATH", "").split(":")
    folders = [*named, *_SYSTEM_PATH.split(":"), f"{sys.base_prefix}/bin"]
    kept = [
        folder
        for folder in dict.fromkeys(folders)
        if os.path.isabs(folder) and os.path.isdir(folder) and not _is_the_servers(Path(folder))
    ]
    return ":".join(kept)


def _is_the_servers(path: Path) -> bool:
    path = path.resolve()
    own_venv = sys.prefix != sys.base_prefix and path.is_relative_to(Path(sys.prefix).resolve())
    return own_venv or path.is_relative_to(_project())


def _project() -> Path:
    return Path(__file__).resolve().parents[3]


class _Draft:
    """What one command may reach, as each mechanism wants it said."""

    def __init__(self, workspace: Workspace, scratch: Path, environment: Mapping[str, str]) -> None:
        self._workspace = workspace
        self._scratch = scratch
        self._environment = environment

    def readable(self) -> tuple[str, ...]:
        paths = [*_PROGRAMS, *(f"/etc/{name}" for name in _ETC)]
        paths += _installations(self._environment.get("PATH", ""))
        shown = [part for path in paths for part in _without(path, str(_project()))]
        return (*shown, *(str(path) for path in self._workspace.readable))

    def writable(self) -> tuple[str, ...]:
        return (str(self._workspace.root), str(self._scratch))

    def bwrap(self) -> tuple[str, ...]:
        root = str(self._workspace.root)
        arguments = [
            _bwrap_path() or "bwrap",
            *("--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts"),
            *("--die-with-parent", "--new-session", "--cap-drop", "ALL"),
        ]
        arguments += ["--proc", "/proc", "--dev", "/dev"]
        arguments += ["--bind", str(self._scratch / "shm"), "/dev/shm"]  # noqa: S108 - its own
        arguments += ["--bind", str(self._scratch / "tmp"), "/tmp"]  # noqa: S108 - its own
        arguments += ["--symlink", "../tmp", "/var/tmp"]  # noqa: S108 - its own
        # After /tmp, because some may lie in it, and the worktree after what it may lie in.
        for path in self.readable():
            arguments += _mount(path)
        arguments += ["--bind", root, root]
        # A `.git` of the command's making could have the server's git run what it likes.
        arguments += ["--ro-bind-try", f"{root}/.git", f"{root}/.git"]
        for name in map(str, self._workspace.readable):
            arguments += ["--ro-bind-try", name, name]
        arguments += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", root]
        for name, value in self._environment.items():
            arguments += ["--setenv", name, value]
        return tuple(arguments)


def _mount(path: str) -> list[str]:
    if path.count("/") == 1 and os.path.islink(path):
        return ["--symlink", os.readlink(path), path]
    return ["--ro-bind-try", os.path.realpath(path), path]


def _installations(search_path: str) -> list[str]:
    """The folders of programs outside the system's that the search path names, with the whole
    installation where it holds a Python, which needs its library.
    """
    found: list[str] = []
    for folder in search_path.split(":"):
        if not os.path.isabs(folder) or _within_system(folder) or not os.path.isdir(folder):
            continue
        found.append(folder)
        python = Path(folder, "python3")
        if python.exists():
            found.append(str(python.resolve().parent.parent))
        if folder.endswith("/shims") or Path(folder, "../pyvenv.cfg").exists():
            found.append(os.path.dirname(folder))
    return [path for path in dict.fromkeys(found) if not _is_too_much(Path(path))]


def _within_system(path: str) -> bool:
    return any(Path(path).is_relative_to(folder) for folder in _PROGRAMS)


def _is_too_much(path: Path) -> bool:
    """A Python right in a home or in its `.local`, where keyrings lie, must not open all that."""
    path = path.resolve()
    return _is_the_servers(path) or any(
        kept.is_relative_to(path) for kept in (Path.home() / ".local", _project())
    )


def _without(path: str, hidden: str) -> Iterable[str]:
    """The path, or the parts of it that lie beside `hidden` when that lies within."""
    real = os.path.realpath(path)
    if Path(real).is_relative_to(hidden):
        return []
    if not Path(hidden).is_relative_to(real):
        return [path]
    with os.scandir(real) as entries:
        names = sorted(entry.path for entry in entries)
    return [part for name in names for part in _without(name, hidden)]
