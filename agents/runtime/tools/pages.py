"""Turns a page of HTML into text that a model reads, in time linear in its length.

Python's own parser is not used: on hostile input it takes quadratic time, and holds the lock that
the thread which keeps leases needs. Here every search goes forward from where the last one ended.
"""

from __future__ import annotations

import html
import re
from urllib.parse import urljoin, urlsplit

_TAG = re.compile(r"/?([a-zA-Z][a-zA-Z0-9:-]{0,40})")
_ATTRIBUTE = r"""(?<![\w-]){}\s{{0,9}}=\s{{0,9}}("[^"]*"|'[^']*'|[^\s>"']+)"""
_HREF = re.compile(_ATTRIBUTE.format("href"), re.IGNORECASE)
_ALT = re.compile(_ATTRIBUTE.format("alt"), re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_LONGEST_TAG = 4096
_LONGEST_LINK = 500
# Their content is not for readers; a page that does not close one ends there.
_SKIPPED = {
    name: re.compile(f"</{name}(?![a-z])", re.IGNORECASE)
    for name in ("script", "style", "noscript", "template", "svg", "iframe", "object", "textarea")
}
_HEADINGS = {f"h{n}": "\n\n" + "#" * n + " " for n in range(1, 7)}
_BLOCK_NAMES = (
    "address article aside blockquote body dd details div dl dt fieldset figcaption figure footer "
    "form header hr main nav ol p pre section summary table tbody tfoot thead title ul"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_LINES = frozenset(["br", "tr", "option"])


def readable(page: str, base: str) -> str:
    """The text of a page with headings, items and links as Markdown; links are made absolute."""
    return _Reading(page, base).text()


class _Reading:
    def __init__(self, page: str, base: str) -> None:
        self._page, self._base = page, base
        self._parts: list[str] = []
        self._link = ""
        self._preformatted = 0

    def text(self) -> str:
        at = 0
        while 0 <= at < len(self._page):
            start = self._page.find("<", at)
            if start < 0:
                start = len(self._page)
            self._say(self._page[at:start])
            at = self._after_markup(start)
        return _tidy("".join(self._parts))

    def _after_markup(self, start: int) -> int:
        """Take what begins with `<`; where the text goes on, -1 where the page ends in it."""
        page = self._page
        if page.startswith("<!--", start):
            end = page.find("-->", start + 4)
            return end + 3 if end >= 0 else -1
        named = _TAG.match(page, start + 1)
        if named is None and not page.startswith(("<!", "<?"), start):
            self._say(page[start : start + 1])
            return start + 1
        end = self._end_of_tag(start)
        if end < 0 or named is None:
            return end
        name = named[1].lower()
        if page[start + 1] == "/":
            self._close(name)
        elif name in _SKIPPED:
            closed = _SKIPPED[name].search(page, end)
            return page.find(">", closed.end()) + 1 or -1 if closed else -1
        else:
            self._open(name, page[named.end() : min(end, named.end() + _LONGEST_TAG)])
        return end

    def _end_of_tag(self, start: int) -> int:
        """Behind the `>`, which may also stand within a quoted value before it."""
        end = self._page.find(">", start)
        if end >= 0 and self._page.count('"', start, end) % 2:
            quote = self._page.find('"', end)
            end = self._page.find(">", quote) if quote >= 0 else end
        return end + 1 if end >= 0 else -1

    def _open(self, name: str, attributes: str) -> None:
        if name == "a":
            self._begin_link(attributes)
        elif name == "img":
            self._say(_value(_ALT, attributes))
        elif name in _HEADINGS:
            self._parts.append(_HEADINGS[name])
        elif name == "li":
            self._parts.append("\n- ")
        elif name in ("td", "th"):
            self._parts.append(" | ")
        else:
            self._preformatted += name == "pre"
            self._break(name)

    def _close(self, name: str) -> None:
        if name == "a":
            self._end_link()
        elif name in _HEADINGS:
            self._parts.append("\n\n")
        else:
            self._preformatted -= name == "pre" and self._preformatted > 0
            self._break(name)

    def _break(self, name: str) -> None:
        if name in _BLOCKS:
            self._parts.append("\n\n")
        elif name in _LINES:
            self._parts.append("\n")

    def _begin_link(self, attributes: str) -> None:
        self._end_link()
        self._link = self._absolute(_value(_HREF, attributes))
        if self._link:
            self._parts.append("[")

    def _end_link(self) -> None:
        if self._link:
            self._parts.append(f"]({self._link})")
        self._link = ""

    def _absolute(self, href: str) -> str:
        """The address of a link, empty for what leads to no other page."""
        if not href or href.startswith("#") or len(href) > _LONGEST_LINK:
            return ""
        try:
            url = urljoin(self._base, href.strip())
            return url if urlsplit(url).scheme in ("http", "https") else ""
        except ValueError:
            return ""

    def _say(self, text: str) -> None:
        if not text:
            return
        text = _unescape(text)
        if not self._preformatted:
            text = _SPACE.sub(" ", text)
            if self._parts and self._parts[-1][-1].isspace():
                text = text.removeprefix(" ")
        if text:
            self._parts.append(text)


def _value(attribute: re.Pattern[str], attributes: str) -> str:
    found = attribute.search(attributes)
    return _unescape(found[1].strip("\"'")) if found else ""


def _unescape(text: str) -> str:
    try:
        return html.unescape(text)
    except (ValueError, OverflowError):  # A number of a character with thousands of digits.
        return text


def _tidy(text: str) -> str:
    """No space at the end of a line, and one empty line at most between two others."""
    lines: list[str] = []
    for line in text.split("\n"):
        bare = line.rstrip()
        if bare or (lines and lines[-1]):
            lines.append(bare)
    return "\n".join(lines).strip("\n")
