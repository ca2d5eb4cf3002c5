"""Glob and Grep: the tools that look for files and for text in them."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agents.runtime.tools import tree
from agents.runtime.tools.paths import located
from agents.runtime.tools.registry import Interrupted, ToolError, Workspace, parameters
from agents.runtime.tools.text import storable

MAX_FILES = 200
MAX_GREP_LINES = 1000
DEFAULT_GREP_LINES = 250
SECONDS = 20.0
_POLL_SECONDS = 0.2
_TREE = str(Path(tree.__file__).resolve())


class Glob:
    """Lists files whose path fits a pattern."""

    name = "Glob"
    description = (
        "List files of the worktree by pattern, newest first: * and ? within a name, ** across "
        f"folders, {{a,b}} for either. At most {MAX_FILES} are shown. Links are not followed and "
        ".git is left out."
    )
    parameters = parameters(
        {
            "pattern": {"type": "string", "minLength": 1, "maxLength": 1000},
            "path": {"type": "string", "description": "Folder to look in; default the worktree."},
        },
        required=["pattern"],
    )
    repeatable = True
    uses_files = True
    changes_files = False

    def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
        with _start(workspace, arguments.get("path", ".")) as start:
            if start.only:
                raise ToolError("path is a file; Glob looks in a folder.")
            found, was_cut = _newest(_pattern(arguments["pattern"], workspace), start, workspace)
        if not found:
            return "No files match." + was_cut
        shown = "\n".join(path for _, path in found[:MAX_FILES])
        if len(found) > MAX_FILES:
            was_cut += f"\n[cut: the newest {MAX_FILES} of {len(found)} files]"
        return storable(shown + was_cut)


class Grep:
    """Finds lines that match a regular expression."""

    name = "Grep"
    description = (
        "Search files of the worktree for a regular expression (Python's syntax), line by line. "
        "Binary files, links and .git are left out."
    )
    parameters = parameters(
        {
            "pattern": {"type": "string", "minLength": 1, "maxLength": 10_000},
            "path": {"type": "string", "description": "File or folder; default the worktree."},
            "glob": {
                "type": "string",
                "maxLength": 1000,
                "description": "Only files whose path fits, such as *.py or src/**/*.ts.",
            },
            "ignore_case": {"type": "boolean"},
            "output_mode": {"enum": ["content", "files", "count"]},
            "context": {"type": "integer", "minimum": 0, "maximum": 20},
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_GREP_LINES},
        },
        required=["pattern"],
    )
    repeatable = True
    uses_files = True
    changes_files = False

    def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
        with _start(workspace, arguments.get("path", ".")) as start:
            return _searched(_request(arguments, start), start.folder, workspace)


@dataclass(frozen=True, slots=True)
class _Start:
    """The open folder where a search starts; `only` names the one file to look at, if it is one."""

    folder: int
    prefix: str
    only: str = ""


@contextmanager
def _start(workspace: Workspace, path: str) -> Iterator[_Start]:
    with located(workspace.root, path or ".") as place:
        mode = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False).st_mode
        is_folder = stat.S_ISDIR(mode)
        if not is_folder and not stat.S_ISREG(mode):
            raise ToolError(f"{path} is neither a file nor a folder.")
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        name = place.name if is_folder else "."
        folder = os.open(name, flags, dir_fd=place.folder)
        try:
            if is_folder:
                yield _Start(folder, "" if place.shown == "." else place.shown + "/")
            else:
                yield _Start(folder, place.shown.removesuffix(place.name), only=place.name)
        finally:
            os.close(folder)


def _pattern(pattern: str, workspace: Workspace) -> str:
    """The pattern relative to where it is looked for; one that leads out is refused."""
    root = str(workspace.root).rstrip("/") + "/"
    pattern = pattern.removeprefix(root).removeprefix("./")
    if pattern.startswith("/") or ".." in pattern.split("/"):
        raise ToolError("The pattern leads outside the worktree.")
    return pattern


def _newest(pattern: str, start: _Start, workspace: Workspace) -> tuple[list[tuple[int, str]], str]:
    """The fitting files with the time of their last change, newest first, and a mark if cut."""
    try:
        fits = tree.matcher(pattern)
    except ValueError as error:
        raise ToolError(f"The pattern cannot be used: {error}") from error
    deadline = time.monotonic() + SECONDS
    found: list[tuple[int, str]] = []
    was_cut = ""
    for file in tree.walk(start.folder):
        _give_up_when_stopped(workspace)
        if time.monotonic() > deadline:
            was_cut = f"\n[cut: the search was ended after {SECONDS:g} s]"
            break
        if fits(file.path):
            found.append((_changed_at(file), start.prefix + file.path))
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    return found, was_cut


def _changed_at(file: tree.Found) -> int:
    try:
        return os.stat(file.name, dir_fd=file.folder, follow_symlinks=False).st_mtime_ns
    except OSError:  # Removed since it was listed.
        return 0


def _request(arguments: Mapping[str, Any], start: _Start) -> dict[str, Any]:
    glob = arguments.get("glob", "")
    return {
        "pattern": arguments["pattern"],
        "prefix": start.prefix,
        "only": start.only,
        # A pattern without a folder fits at any depth, as in ripgrep.
        "glob": f"**/{glob}" if glob and "/" not in glob else glob,
        "ignore_case": arguments.get("ignore_case", False),
        "mode": arguments.get("output_mode", "content"),
        "context": arguments.get("context", 0),
        "limit": arguments.get("limit", DEFAULT_GREP_LINES),
        "seconds": SECONDS,
    }


def _searched(request: dict[str, Any], folder: int, workspace: Workspace) -> str:
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", _TREE, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(folder,),
        env={},
    )
    try:
        output, problem = _collected(process, json.dumps(request).encode(), workspace)
    finally:
        process.kill()
        process.wait()
    if process.returncode == 2:
        raise ToolError(f"The pattern cannot be used: {storable(problem)}")
    if process.returncode == -signal.SIGALRM:
        mark = f"[cut: the search was ended after {SECONDS:g} s; use a simpler pattern]"
        raise ToolError(_shown(output, workspace) + mark)
    if process.returncode != 0:
        raise ToolError(f"The search failed: {storable(problem)}")
    return _shown(output, workspace).rstrip("\n") or "No matches."


def _shown(output: bytes, workspace: Workspace) -> str:
    """What the search put out, without the part of a secret where it cut a line."""
    lines = output.decode("utf-8", "replace").split("\n")
    redactor = workspace.redactor
    shown = (
        redactor.fragment(line.removesuffix(tree.CUT), ends_cut=True)
        if line.endswith(tree.CUT)
        else line
        for line in lines
    )
    return storable("\n".join(shown))


def _collected(
    process: subprocess.Popen[bytes], request: bytes, workspace: Workspace
) -> tuple[bytes, bytes]:
    """What the search put out; the process bounds its lines, its alarm its time."""
    to_send: bytes | None = request
    while True:
        try:
            return process.communicate(to_send, timeout=_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            to_send = None  # communicate() goes on where it was.
            _give_up_when_stopped(workspace)


def _give_up_when_stopped(workspace: Workspace) -> None:
    if workspace.stop.is_set():
        raise Interrupted
