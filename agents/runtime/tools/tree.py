"""Walks a folder without following links, for Glob, and as a script searches it, for Grep.

As a script it is a process of its own, because a regular expression can take for ever and holds
the interpreter's lock meanwhile: a thread cannot be stopped, a process can. It imports nothing but
the standard library, so that it starts in about 20 ms.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import IO, Any

DEEPEST = 100
MAX_ALTERNATIVES = 64
MAX_MATCHED_CHARACTERS = 10_000
MAX_SHOWN_CHARACTERS = 500
# Behind the text of a line that is not shown to its end; whoever reads the output takes it out.
CUT = "\0"
_SNIFFED_BYTES = 8192
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file: its path below the walked folder, and the open folder that holds it."""

    path: str
    folder: int
    name: str


def walk(folder: int, prefix: str = "", depth: int = 0) -> Iterator[Found]:
    """The regular files below the open folder, by name, without `.git` and without links.

    `found.folder` is open until the next step. Folders deeper than `DEEPEST` are left out.
    """
    with os.scandir(folder) as listing:
        entries = sorted(listing, key=lambda entry: entry.name)
    for entry in entries:
        path = prefix + entry.name
        if entry.is_file(follow_symlinks=False):
            yield Found(path, folder, entry.name)
        elif entry.is_dir(follow_symlinks=False) and entry.name != ".git" and depth < DEEPEST:
            yield from _below(entry.name, folder, path + "/", depth + 1)


def _below(name: str, parent: int, prefix: str, depth: int) -> Iterator[Found]:
    try:
        folder = os.open(name, _FOLDER, dir_fd=parent)
    except OSError:  # Swapped for a link meanwhile, gone, or not ours to read.
        return
    try:
        yield from walk(folder, prefix, depth)
    finally:
        os.close(folder)


def matcher(pattern: str) -> Callable[[str], bool]:
    """A test for relative paths: `*`, `?`, `[...]` within a name, `**` across folders, `{a,b}`."""
    alternatives = [tuple(one.split("/")) for one in _alternatives(pattern)]
    return lambda path: any(_fits(tuple(path.split("/")), parts) for parts in alternatives)


def _alternatives(pattern: str) -> list[str]:
    braces = re.search(r"\{([^{}]*)\}", pattern)
    if braces is None:
        return [pattern]
    start, end = pattern[: braces.start()], pattern[braces.end() :]
    found: list[str] = []
    for choice in braces.group(1).split(","):
        found += _alternatives(start + choice + end)
        if len(found) > MAX_ALTERNATIVES:
            raise ValueError(f"more than {MAX_ALTERNATIVES} alternatives in braces")
    return found


def _fits(names: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Whether the names fit the parts; `reached` are the parts that may come next."""
    reached = _past_stars({0}, parts)
    for name in names:
        after = {at for at in reached if at < len(parts) and parts[at] == "**"}
        after |= {at + 1 for at in reached if at < len(parts) and _name_fits(name, parts[at])}
        reached = _past_stars(after, parts)
    return len(parts) in reached


def _past_stars(reached: set[int], parts: tuple[str, ...]) -> set[int]:
    """The parts that may come next, given that `**` may stand for no folder at all."""
    reached = set(reached)
    for at, part in enumerate(parts):
        if at in reached and part == "**":
            reached.add(at + 1)
    return reached


def _name_fits(name: str, part: str) -> bool:
    return part != "**" and _name_pattern(part).match(name) is not None


@lru_cache(maxsize=1024)
def _name_pattern(part: str) -> re.Pattern[str]:
    # fnmatch writes its stars as atomic groups: no backtracking without bound.
    return re.compile(fnmatch.translate(part))


@dataclass
class Search:
    """One search: what to look for, and how much to put out (`limit` counts result lines)."""

    pattern: re.Pattern[str]
    mode: str
    context: int
    limit: int
    write: Callable[[str], object]
    lines_out: int = field(default=0)

    def file(self, path: str, file: IO[bytes]) -> None:
        if b"\0" in file.read(_SNIFFED_BYTES):
            return
        file.seek(0)
        if self.mode == "content":
            self._content(path, file)
        elif self.mode == "files":
            if any(self._matches(text) for text in _texts(file)):
                self._put(path)
        elif count := sum(1 for text in _texts(file) if self._matches(text)):
            self._put(f"{path}:{count}")

    @property
    def is_full(self) -> bool:
        return self.lines_out >= self.limit

    def _content(self, path: str, file: IO[bytes]) -> None:
        before: deque[tuple[int, str]] = deque(maxlen=self.context)
        after = last = 0
        for number, text in enumerate(_texts(file), start=1):
            if self._matches(text):
                if self.context and last and number - len(before) > last + 1:
                    self._put("--")
                for earlier, its_text in before:
                    self._put(f"{path}-{earlier}-{_shown(its_text)}")
                before.clear()
                self._put(f"{path}:{number}:{_shown(text)}")
                after, last = self.context, number
            elif after:
                self._put(f"{path}-{number}-{_shown(text)}")
                after, last = after - 1, number
            else:
                before.append((number, text))
            if self.is_full:
                return

    def _matches(self, text: str) -> bool:
        return self.pattern.search(text) is not None

    def _put(self, line: str) -> None:
        self.lines_out += 1
        self.write(line + "\n")


def _shown(text: str) -> str:
    shown = text[:MAX_SHOWN_CHARACTERS]
    return shown if shown == text else shown + CUT


def _texts(file: IO[bytes]) -> Iterator[str]:
    """The lines as text; of a longer line than `MAX_MATCHED_CHARACTERS` only its beginning."""
    while line := file.readline(MAX_MATCHED_CHARACTERS):
        rest = line
        while not rest.endswith(b"\n") and (rest := file.readline(65536)):
            pass
        yield line.rstrip(b"\r\n").decode("utf-8", "replace")


def search(request: dict[str, Any], folder: int, write: Callable[[str], object]) -> None:
    """Search the files below the open folder and write result lines.

    A search that fills its limit ends with a line that says so.
    """
    flags = re.IGNORECASE if request["ignore_case"] else 0
    wanted = Search(
        re.compile(request["pattern"], flags),
        request["mode"],
        request["context"],
        request["limit"],
        write,
    )
    for found in _candidates(request, folder):
        try:
            descriptor = os.open(found.name, _FILE, dir_fd=found.folder)
        except OSError:
            continue
        with os.fdopen(descriptor, "rb") as file:
            wanted.file(request["prefix"] + found.path, file)
        if wanted.is_full:
            write(f"[cut after {wanted.lines_out} lines; narrow the search]\n")
            return


def _candidates(request: dict[str, Any], folder: int) -> Iterator[Found]:
    if request["only"]:
        return iter([Found(request["only"], folder, request["only"])])
    if not request["glob"]:
        return walk(folder)
    fits = matcher(request["glob"])
    return (found for found in walk(folder) if fits(found.path))


def main() -> int:
    """Read a request as JSON, search the folder given by its descriptor, end after its seconds."""
    request = json.load(sys.stdin)
    # The alarm's default action ends the process, in the middle of a match and without a parent.
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, request["seconds"])
    try:
        search(request, int(sys.argv[1]), _write_line)
    except (re.error, ValueError, OverflowError, RecursionError) as problem:
        sys.stderr.write(str(problem))
        return 2
    return 0


def _write_line(line: str) -> None:
    sys.stdout.buffer.write(line.encode("utf-8", "replace"))
    sys.stdout.buffer.flush()  # So that a search that is ended leaves what it had found.


if __name__ == "__main__":
    sys.exit(main())
