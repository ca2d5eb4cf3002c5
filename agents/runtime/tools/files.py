"""Read, Write and Edit: the tools that work on one file of the worktree."""

from __future__ import annotations

import codecs
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, Any

from agents.runtime.redaction import Redactor
from agents.runtime.tools.paths import Place, located
from agents.runtime.tools.registry import ToolError, Workspace, parameters

MAX_LINES = 2000
MAX_LINE_BYTES = 2000
MAX_SCANNED_BYTES = 256 * 1024**2
MAX_EDITED_BYTES = 16 * 1024**2
_SNIFFED_BYTES = 8192
_PATH = {"type": "string", "minLength": 1, "description": "Path in the worktree."}


class Read:
    """Shows lines of a text file with their numbers."""

    name = "Read"
    description = (
        "Read a text file of the worktree. Lines come numbered. At most "
        f"{MAX_LINES} lines at once; go on with offset. A cut is always marked."
    )
    parameters = parameters(
        {
            "path": _PATH,
            "offset": {"type": "integer", "minimum": 1, "description": "First line, from 1."},
            "limit": {"type": "integer", "minimum": 1, "maximum": MAX_LINES},
        },
        required=["path"],
    )
    repeatable = True
    uses_files = True
    changes_files = False

    def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
        first = arguments.get("offset", 1)
        limit = arguments.get("limit", MAX_LINES)
        with located(workspace.root, arguments["path"]) as place, _opened(place) as file:
            _refuse_binary(file, place)
            # Room for the mark that says where to go on.
            room = workspace.limits.output_bytes - 200
            return _numbered(_lines(file, workspace.redactor), first, limit, room)


class Write:
    """Puts content into a file, as a whole."""

    name = "Write"
    description = (
        "Write a file of the worktree as a whole; folders are made. An existing file is replaced "
        "and keeps its permissions."
    )
    parameters = parameters(
        {"path": _PATH, "content": {"type": "string"}}, required=["path", "content"]
    )
    repeatable = True
    uses_files = True
    changes_files = True

    def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
        content = _encoded(arguments["content"])
        with located(workspace.root, arguments["path"], writing=True) as place:
            was_there = _replace(place, content)
            verb = "Replaced" if was_there else "Created"
            return f"{verb} {place.shown} ({len(content)} bytes)."


class Edit:
    """Replaces an exact text in a file."""

    name = "Edit"
    description = (
        "Replace an exact text in a file of the worktree. old_string must be there exactly once, "
        "unless replace_all is set. Line endings are kept."
    )
    parameters = parameters(
        {
            "path": _PATH,
            "old_string": {"type": "string", "minLength": 1},
            "new_string": {"type": "string"},
            "replace_all": {"type": "boolean"},
        },
        required=["path", "old_string", "new_string"],
    )
    repeatable = False
    uses_files = True
    changes_files = True

    def run(self, arguments: Mapping[str, Any], workspace: Workspace) -> str:
        old, new = _encoded(arguments["old_string"]), _encoded(arguments["new_string"])
        if old == new:
            raise ToolError("old_string and new_string are the same.")
        # Looked at first without `writing`, so that a wrong path makes no folders.
        with located(workspace.root, arguments["path"]) as place:
            before = _content(place)
        after, count = _edited(before, old, new, every=arguments.get("replace_all", False))
        with located(workspace.root, arguments["path"], writing=True) as place:
            _replace(place, after)
            return f"Replaced {count} occurrence{'s' * (count != 1)} in {place.shown}."


@contextmanager
def _opened(place: Place) -> Iterator[IO[bytes]]:
    """The regular file at the place, open for reading; anything else is refused."""
    # Without O_NONBLOCK, opening a fifo would wait for a writer for ever.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(place.name, flags, dir_fd=place.folder)
    try:
        _refuse_special(os.fstat(descriptor).st_mode, place)
        # Not closed by the file, which cannot be made at all for a folder.
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def _refuse_special(mode: int, place: Place) -> None:
    if stat.S_ISDIR(mode):
        raise ToolError(f"{place.shown} is a folder, not a file; list it with Glob, or ls in Bash.")
    if not stat.S_ISREG(mode):
        raise ToolError(f"{place.shown} is not a regular file.")


def _refuse_binary(file: IO[bytes], place: Place) -> None:
    start = file.read(_SNIFFED_BYTES)
    if b"\0" in start:
        size = os.fstat(file.fileno()).st_size
        raise ToolError(f"{place.shown} is a binary file of {size} bytes; it is not shown.")
    file.seek(0)


def _numbered(lines: Iterable[str], first: int, limit: int, room: int) -> str:
    shown: list[str] = []
    number = 0
    for number, line in enumerate(lines, start=1):
        if number < first:
            continue
        text = f"{number:>6}\t{line}"
        room -= len(text.encode()) + 1
        if number >= first + limit or (room < 0 and shown):
            return "\n".join([*shown, f"[cut here; go on with offset {number}]"])
        shown.append(text)
    if shown:
        return "\n".join(shown)
    if number == 0 and first == 1:
        return "(the file is empty)"
    raise ToolError(f"The file has {number} lines; offset {first} is past its end.")


def _lines(file: IO[bytes], redactor: Redactor) -> Iterator[str]:
    """The lines without their ends, long ones cut; at most `MAX_SCANNED_BYTES` are read."""
    while line := file.readline(MAX_LINE_BYTES):
        left_out = 0
        piece = line
        while not piece.endswith(b"\n") and (piece := file.readline(65536)):
            left_out += len(piece)
            _refuse_endless(file)
        _refuse_endless(file)
        if left_out <= 2:
            yield line.rstrip(b"\r\n").decode("utf-8", "replace")
            continue
        # Without the beginning of a character that was cut.
        text = codecs.getincrementaldecoder("utf-8")("replace").decode(line)
        shown = redactor.fragment(text, ends_cut=True)
        yield f"{shown} [... {left_out} bytes of this line left out]"


def _refuse_endless(file: IO[bytes]) -> None:
    if file.tell() > MAX_SCANNED_BYTES:
        raise ToolError("The file is too large to be read to there; use head, tail or sed in Bash.")


def _content(place: Place) -> bytes:
    with _opened(place) as file:
        _refuse_binary(file, place)
        content = file.read(MAX_EDITED_BYTES + 1)
    if len(content) > MAX_EDITED_BYTES:
        raise ToolError(f"{place.shown} is larger than {MAX_EDITED_BYTES} bytes; use Bash.")
    return content


def _edited(before: bytes, old: bytes, new: bytes, *, every: bool) -> tuple[bytes, int]:
    if b"\r\n" in before and before.count(b"\n") == before.count(b"\r\n"):
        old, new = _with_crlf(old), _with_crlf(new)
    count = before.count(old)
    if count == 0:
        raise ToolError("old_string is not in the file. Read it again and copy the text exactly.")
    if count > 1 and not every:
        raise ToolError(
            f"old_string is in the file {count} times. Make it longer until it is unique, "
            "or set replace_all."
        )
    return before.replace(old, new), count


def _with_crlf(text: bytes) -> bytes:
    return text.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ToolError(f"The text has characters without a UTF-8 form: {error}") from error


def _replace(place: Place, content: bytes) -> bool:
    """Put the content there in one step, with the old permissions; whether a file was there."""
    mode = _mode(place)
    temporary = f".signalbox-{secrets.token_hex(8)}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(temporary, flags, 0o666, dir_fd=place.folder), "wb") as file:
            file.write(content)
            if mode is not None:
                os.fchmod(file.fileno(), mode)
        # Replaces a link that was put here meanwhile, and does not follow it.
        os.replace(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
    except BaseException:
        _discard(temporary, place.folder)
        raise
    return mode is not None


def _mode(place: Place) -> int | None:
    """The permissions of the file there, None if there is none."""
    try:
        mode = os.stat(place.name, dir_fd=place.folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return None
    _refuse_special(mode, place)
    return stat.S_IMODE(mode) & 0o777


def _discard(name: str, folder: int) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)
