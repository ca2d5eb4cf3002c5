"""Tries to reach everything of the server, as an agent's program would: run as a script.

Its only argument is a file of JSON that names what there is. For each thing it prints one line,
`reached NAME` or `closed NAME`. It imports nothing but the standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import struct
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any


def say(*words: str) -> None:
    sys.stdout.write(" ".join(words) + "\n")


def reads(path: str) -> Callable[[], bool]:
    return lambda: bool(Path(path).read_bytes()[:10])


def lists(path: str, names: list[str]) -> Callable[[], bool]:
    """Whether all of these are seen there; of a folder above its own a command sees the way."""
    return lambda: set(names) <= set(os.listdir(path))


def some_environment(word: str) -> bool:
    """Whether the environment of any process has this word."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if word.encode() in Path("/proc", name, "environ").read_bytes():
                return True
        except OSError:
            continue
    return False


def attaches(pid: int) -> bool:
    libc = ctypes.CDLL(None)
    if libc.ptrace(16, pid, 0, 0) != 0:
        return False
    libc.ptrace(17, pid, 0, 0)
    return True


def signals(pid: int) -> bool:
    os.kill(pid, 0)
    os.kill(pid, signal.SIGURG)  # Which nobody minds.
    return True


def answers(address: Any, question: bytes) -> bytes:
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with closing(socket.socket(family)) as it:
        it.settimeout(5)
        it.connect(address if isinstance(address, str) else tuple(address))
        it.sendall(question)
        return it.recv(4096)


def postgres_lets_in(address: Any, user: str, database: str) -> bool:
    """Whether PostgreSQL says `AuthenticationOk` to somebody without a password."""
    words = f"user\0{user}\0database\0{database}\0\0".encode()
    message = struct.pack("!ii", len(words) + 8, 196608) + words
    answer = answers(address, message)
    return answer[:1] == b"R" and struct.unpack("!i", answer[5:9])[0] == 0


def redis_lets_in(address: Any) -> bool:
    return answers(address, b"PUBLISH signalbox:control x\r\n").startswith(b":")


def api_lets_in(url: str, method: str, body: Any = None) -> bool:
    """Whether the API does it for somebody without a credential."""
    told = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=told, method=method)  # noqa: S310 - of the test.
    request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - likewise.
            return bool(answer.status < 300)
    except urllib.error.HTTPError as error:
        say("status", str(error.code))
        return False


def attempts(known: dict[str, Any]) -> dict[str, Callable[[], bool]]:
    """What is tried, by name."""
    worker = known["worker"]
    named = {f"read {name}": reads(path) for name, path in known["files"].items()}
    named |= {f"list {name}": lists(*folder) for name, folder in known["folders"].items()}
    named |= {
        "own environment": lambda: any(name in os.environ for name in known["variables"]),
        "any environment": lambda: some_environment(known["in_environment"]),
        "worker's environment": reads(f"/proc/{worker}/environ"),
        "worker's files": lists(f"/proc/{worker}/fd", ["0"]),
        "worker's root": lists(f"/proc/{worker}/root/", ["etc"]),
        "worker's memory": reads(f"/proc/{worker}/maps"),
        "ptrace": lambda: attaches(worker),
        "signal": lambda: signals(worker),
        "abstract socket": lambda: answers("\0" + known["abstract"], b"hello") is not None,
    }
    named["postgres"] = lambda: postgres_lets_in(
        known["postgres"], known["user"], known["database"]
    )
    named["redis"] = lambda: redis_lets_in(known["redis"])
    named["approve"] = lambda: api_lets_in(known["approval"], "PATCH", {"status": "approved"})
    named["read the approval"] = lambda: api_lets_in(known["approval"], "GET")
    named["start"] = lambda: api_lets_in(known["start"], "POST", {"prompt": "x"})
    return named


def main() -> None:
    """Try it all, each on its own."""
    known = json.loads(Path(sys.argv[1]).read_text())
    for name, attempt in attempts(known).items():
        try:
            is_reached = attempt()
        except OSError as error:
            say("closed", name, f"({type(error).__name__})")
        else:
            say("reached" if is_reached else "closed", name)


if __name__ == "__main__":
    main()
