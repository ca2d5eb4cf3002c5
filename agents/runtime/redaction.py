"""Takes secret values out of what a run shows: of texts, of JSON, and of streams of pieces.

A value is found as it is and in its obvious encodings, whatever line breaks are inside, and each
time stands `[redacted:NAME]` instead. This guards against accidents: a program that holds a secret
and means to show it can always write it in a way that nobody looks for.
"""

from __future__ import annotations

import base64
import html
import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

from agents.runtime.facts import Reply, ToolRequest

# Shorter ones stand in every text by chance.
SHORTEST = 6
# A shorter part of a secret, at the edge of a text that was cut, tells nobody anything.
SHORTEST_FRAGMENT = 4
# What says how programs run: to take these values out would leave no output readable.
_PLAIN_NAMES = re.compile(
    r"PATH|HOME|PWD|SHELL|TERM|TZ|USER|LOGNAME|HOSTNAME|EDITOR|PAGER|TMPDIR|LANG|LANGUAGE|LC_\w+"
    r"|PYTHON\w*|VIRTUAL_ENV|NODE_ENV|NODE_PATH|NODE_OPTIONS|GOPATH|JAVA_HOME|LD_LIBRARY_PATH"
    r"|GIT_(AUTHOR|COMMITTER)_(NAME|EMAIL)"
)
_PLAIN_WORDS = {
    "production", "development", "staging", "testing", "sandbox", "preview", "release",
    "localhost", "enabled", "enable", "disabled", "disable",
    "default", "required", "optional", "verbose", "warning", "warnings", "critical",
    "standard", "public", "private", "password", "secret", "postgres", "postgresql",
    "sqlite3", "signalbox", "python", "python3", "system", "assistant", "content",
    "command", "message", "messages", "function", "arguments", "pattern", "old_string",
    "new_string", "replace_all", "output_mode", "running", "queued", "waiting", "paused",
    "complete", "completed", "failed", "failure", "cancelled", "denied", "interrupted",
    "unknown", "approved", "rejected", "pending", "redacted",
}  # fmt: skip
_BREAK = re.compile(r"[\r\n]")

Span = tuple[int, int, str]


def is_secret(value: str) -> bool:
    """Whether a value can be taken out without taking common words and short numbers along."""
    bare = value.strip()
    return len(bare) >= SHORTEST and bare.lower() not in _PLAIN_WORDS


def secrets_of(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The names and values of these variables that are secrets, and the passwords in their URLs.

    All are, but for names that say how programs run, for what `is_secret` says is too common, and
    for a value that stands in a variable's name, which is shown in any case.
    """
    names = "\n".join(environment)
    for name, value in environment.items():
        if not _PLAIN_NAMES.fullmatch(name) and value.strip() not in names:
            yield name, value
            yield from ((name, password) for password in passwords_of(value))


def passwords_of(url: str) -> tuple[str, ...]:
    """The password of a URL as it stands there and as it is meant; without one, nothing."""
    try:
        password = urlsplit(url.strip()).password
    except ValueError:
        return ()
    return tuple(dict.fromkeys((password, unquote(password)))) if password else ()


class Redactor:
    """Takes these secrets out, given as pairs of a name and a value."""

    def __init__(self, secrets: Iterable[tuple[str, str]] = ()) -> None:
        self._names: dict[str, str] = {}
        for name, value in secrets:
            for form in _forms(value):
                self._names.setdefault(form, name)
        self._longest = max(map(len, self._names), default=0)
        # By how they begin: one look-up at each place, however many there are.
        self._by_head: dict[str, list[str]] = {}
        for form in sorted(self._names, key=len, reverse=True):
            self._by_head.setdefault(form[:SHORTEST], []).append(form)
        self._beginnings = {head[:n] for head in self._by_head for n in range(1, SHORTEST)}

    def text(self, text: str) -> str:
        """The text without secrets; where some overlap, one mark stands for all of them."""
        return self.fragment(text)

    def fragment(self, text: str, *, begins_cut: bool = False, ends_cut: bool = False) -> str:
        """The same for a part of a text: also without the part of a secret that the cut left."""
        if len(text) < SHORTEST_FRAGMENT or not self._names:
            return text
        bare, breaks = _without_breaks(text)
        spans = list(self._spans(bare, len(bare)))
        if begins_cut:
            spans = [*self._end_of_one(bare), *spans]
        if ends_cut:
            spans = [*spans, *self._beginning_of_one(bare)]
        return _marked(text, _merged(spans), breaks)

    def json(self, value: Any) -> Any:
        """A JSON value without secrets, at any depth and in keys too."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.json(key): self.json(each) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(each) for each in value]
        return value

    def names_in(self, value: Any) -> set[str]:
        """The names of the secrets that a JSON value has, at any depth and in keys too."""
        if isinstance(value, str):
            bare, _ = _without_breaks(value)
            return {name for _, _, name in self._spans(bare, len(bare))}
        if isinstance(value, Mapping):
            value = [*value, *value.values()]
        if isinstance(value, list | tuple):
            return set().union(*map(self.names_in, value))
        return set()

    def request(self, request: ToolRequest) -> ToolRequest:
        """A model's tool call without secrets."""
        return replace(
            request, arguments=self.json(request.arguments), problem=self.text(request.problem)
        )

    def reply(self, reply: Reply) -> Reply:
        """A model's reply without secrets.

        A raw form that has some is left out: its signatures would not fit what is left.
        """
        return replace(
            reply,
            text=self.text(reply.text),
            tool_requests=tuple(map(self.request, reply.tool_requests)),
            raw=reply.raw if self.json(reply.raw) == reply.raw else None,
        )

    def stream(self) -> Stream:
        """For one text that comes in pieces."""
        return Stream(self)

    def _spans(self, bare: str, before: int) -> Iterator[Span]:
        """The secrets that begin before this place, in order; the longest where several do."""
        for at in range(min(before, len(bare) - SHORTEST + 1)):
            for form in self._by_head.get(bare[at : at + SHORTEST], ()):
                if bare.startswith(form, at):
                    yield at, at + len(form), self._names[form]
                    break

    def _open(self, bare: str) -> tuple[int, str]:
        """Where the rest may be the beginning of a secret, and of which; the end for nowhere."""
        for at in range(max(0, len(bare) - self._longest + 1), len(bare)):
            rest = bare[at:]
            if len(rest) < SHORTEST:
                if rest in self._beginnings:
                    return at, next(n for form, n in self._names.items() if form.startswith(rest))
                continue
            for form in self._by_head.get(rest[:SHORTEST], ()):
                if len(form) > len(rest) and form.startswith(rest):
                    return at, self._names[form]
        return len(bare), ""

    def _beginning_of_one(self, bare: str) -> list[Span]:
        at, name = self._open(bare)
        return [(at, len(bare), name)] if len(bare) - at >= SHORTEST_FRAGMENT else []

    def _end_of_one(self, bare: str) -> list[Span]:
        """The longest beginning of the text that is the end of a secret."""
        found: list[Span] = []
        for form, name in self._names.items():
            first = form.find(bare[:SHORTEST_FRAGMENT], 1)
            while first > 0:
                if bare.startswith(form[first:]):
                    found.append((0, len(form) - first, name))
                    break  # Later ones are shorter.
                first = form.find(bare[:SHORTEST_FRAGMENT], first + 1)
        return [max(found, key=lambda span: span[1])] if found else []


class Stream:
    """One text in pieces: together they are what `Redactor.text` makes of the whole.

    What may be the beginning of a secret is held back until it is clear, and nothing else.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._held = ""
        # So much of what is held belongs to a secret that has its mark already.
        self._marked = 0

    def feed(self, piece: str) -> str:
        """What can be shown after this piece."""
        return self._shown(piece, is_over=False)

    def flush(self) -> str:
        """What is left; the text is over, and another may begin."""
        return self._shown("", is_over=True)

    def _shown(self, piece: str, *, is_over: bool) -> str:
        text = self._held + piece
        bare, breaks = _without_breaks(text)
        open_at = len(bare) if is_over else self._redactor._open(bare)[0]
        spans = _merged([(0, self._marked, ""), *self._redactor._spans(bare, open_at)])
        # A secret that reaches into what is held has its mark now, and its rest has none later.
        end = spans[-1][1]
        self._marked = max(0, end - open_at)
        until = len(text) if open_at == len(bare) else _place(breaks, open_at)
        if self._marked:
            spans[-1] = (spans[-1][0], open_at, spans[-1][2])
        self._held = text[until:]
        return _marked(text[:until], spans, breaks)


NO_SECRETS = Redactor()


def _forms(value: str) -> set[str]:
    """How a value may look, without line breaks: it and its lines, each in every encoding."""
    whole = value.strip()
    parts = {whole, *(line.strip() for line in whole.splitlines())}
    forms = {_BREAK.sub("", form) for part in parts if is_secret(part) for form in _encodings(part)}
    return {form for form in forms if len(form) >= SHORTEST}


def _encodings(text: str) -> Iterator[str]:
    raw = text.encode("utf-8", "surrogatepass")
    yield text
    in_json = json.dumps(text)[1:-1]
    yield from (in_json, json.dumps(in_json)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    yield from (repr(text)[1:-1], html.escape(text))
    for quoted in (quote(raw), quote(raw, safe=""), quote_plus(raw)):
        yield quoted
        yield re.sub("%..", lambda found: found[0].lower(), quoted)
    # As bash prints them: in double quotes (`export -p`), in single ones, and by `printf %q`.
    yield re.sub(r'([\\"$`])', r"\\\1", text)
    yield from (text.replace("'", each) for each in ("'\\''", "'\"'\"'"))
    yield re.sub(r"([^\w@%+=:,./-])", r"\\\1", text)
    yield from (raw.hex(), raw.hex().upper())
    for before in range(3):
        yield from _in_base64(raw, before)


def _in_base64(raw: bytes, before: int) -> Iterator[str]:
    """The characters that the value alone decides, with so many bytes before it (modulo 3)."""
    first = -(-before * 8 // 6)
    last = (before + len(raw)) * 8 // 6
    padded = bytes(before) + raw
    yield base64.b64encode(padded).decode()[first:last]
    yield base64.urlsafe_b64encode(padded).decode()[first:last]


def _without_breaks(text: str) -> tuple[str, list[int]]:
    """The text without line breaks, and before which of its characters each of them stood."""
    breaks = [found.start() - n for n, found in enumerate(_BREAK.finditer(text))]
    return (_BREAK.sub("", text) if breaks else text), breaks


def _place(breaks: list[int], at: int) -> int:
    """Where a character of the text without line breaks stands in the text with them."""
    return at + bisect_right(breaks, at)


def _merged(spans: Iterable[Span]) -> list[Span]:
    """Spans as they come by their beginning, those that overlap as one."""
    merged: list[Span] = []
    for start, end, name in spans:
        if merged and start < merged[-1][1]:
            first, so_far, named = merged[-1]
            merged[-1] = (first, max(so_far, end), named)
        else:
            merged.append((start, end, name))
    return merged


def _marked(text: str, spans: Iterable[Span], breaks: list[int]) -> str:
    """The text with a mark instead of each span; one without a name leaves nothing."""
    shown: list[str] = []
    done = 0
    for start, end, name in spans:
        if start == end:
            continue
        first = _place(breaks, start)
        shown += [text[done:first], f"[redacted:{name}]" if name else ""]
        done = _place(breaks, end - 1) + 1
    return "".join([*shown, text[done:]])


# --- logs -----------------------------------------------------------------------------------------

_of_this_run: ContextVar[Redactor] = ContextVar("redactor", default=NO_SECRETS)


@contextmanager
def in_logs(redactor: Redactor) -> Iterator[None]:
    """Have every line that this thread logs meanwhile redacted."""
    before = _of_this_run.set(redactor)
    try:
        yield
    finally:
        _of_this_run.reset(before)


def logged(line: str) -> str:
    """A line of the log as it may be written."""
    return _of_this_run.get().text(line)
