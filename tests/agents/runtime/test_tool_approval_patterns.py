"""Which calls an `approval_required` holds: by tool, by patterns of arguments."""

from __future__ import annotations

import time
from typing import Any

import pytest

from agents.runtime.tools.approval import fits, needs_approval

PUSH = {"tool": "Bash", "arguments": {"command": "git push*"}}
ANY_PUSH = {"tool": "Bash", "arguments": {"command": "*git push*"}}


@pytest.mark.parametrize(
    ("pattern", "text", "holds"),
    [
        ("git push", "git push", True),
        ("git push", "git push origin", False),
        ("git push*", "git push", True),
        ("git push*", "git push --force origin main", True),
        ("git push*", "git pushd", True),
        ("git push *", "git push", False),
        # Case, blanks and line breaks hide nothing.
        ("git push*", "GIT Push", True),
        ("Git PUSH*", "git push", True),
        ("git push*", "   git push", True),
        ("git push*", "\n\tgit \t push\n", True),
        ("git  push*", "git push", True),
        ("git push*now", "git push \\\n  origin\nnow", True),
        # What stands before it does, unless the pattern begins with a star.
        ("git push*", "a && git push", False),
        ("git push*", "ls\ngit push", False),
        ("*git push*", "a && git push", True),
        ("*git push*", "ls\ngit push\n", True),
        ("*git push", "a; git push", True),
        ("*git push", "a; git push b", False),
        # A pattern knows no shell.
        ("*git push*", "g''it push", False),
        ("*git push*", "git -C /x push", False),
        ("*git*push*", "git -C /x push", True),
        ("*git push*", "git \\\npush", False),
        # Stars meet nothing, each other, and the same text only once.
        ("*", "", True),
        ("**", "x", True),
        ("", "", True),
        ("", "x", False),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*ab*ab*", "ab", False),
        ("*ab*ab*", "abab", True),
        ("a*b*c", "abcbc", True),
        ("a*bc*bc", "abc", False),
        # Nothing but the star means anything.
        ("ls [ab]?", "ls a1", False),
        ("ls [ab]?", "ls [ab]?", True),
        ("a.c", "abc", False),
        ("(x", "(x", True),
        # Not in ASCII, and longer in one case than in the other.
        ("*straße*", "cd STRASSE", True),
    ],
)
def test_a_pattern_and_a_text(pattern: str, text: str, *, holds: bool) -> None:
    assert fits(pattern, text) is holds


@pytest.mark.parametrize(
    ("pattern", "value", "holds"),
    [
        ("true", True, True),
        ("1", True, False),
        ("600", 600, True),
        ("6*", 600, True),
        ("null", None, True),
        ('*"a*', ["a", "b"], True),
        ('{"a": "é"}', {"a": "é"}, True),
    ],
)
def test_what_is_no_text_is_compared_as_json(pattern: str, value: Any, *, holds: bool) -> None:
    assert fits(pattern, value) is holds


@pytest.mark.parametrize(
    ("entries", "name", "arguments", "holds"),
    [
        ([], "Bash", {"command": "git push"}, False),
        (["Bash"], "Bash", {}, True),
        (["Bash"], "Read", {"path": "a"}, False),
        (["bash"], "Bash", {}, False),
        (["*"], "Anything", {}, True),
        ([PUSH], "Bash", {"command": "git push"}, True),
        ([PUSH], "Bash", {"command": "ls"}, False),
        ([PUSH], "Bash", {}, False),
        ([PUSH], "Write", {"command": "git push"}, False),
        ([PUSH, "Write"], "Write", {"path": "a"}, True),
        ([ANY_PUSH], "Bash", {"command": "cd x; git push"}, True),
        ([{"tool": "Bash"}], "Bash", {}, True),
        ([{"tool": "*", "arguments": {"path": "*.env*"}}], "Write", {"path": ".env"}, True),
        ([{"tool": "*", "arguments": {"path": "*.env*"}}], "Bash", {"command": ".env"}, False),
        (
            [{"tool": "Bash", "arguments": {"command": "*", "timeout": "600"}}],
            "Bash",
            {"command": "x", "timeout": 600},
            True,
        ),
        (
            [{"tool": "Bash", "arguments": {"command": "*", "timeout": "600"}}],
            "Bash",
            {"command": "x"},
            False,
        ),
    ],
)
def test_entries_and_a_call(
    entries: list[Any], name: str, arguments: dict[str, Any], *, holds: bool
) -> None:
    assert needs_approval(entries, name, arguments) is holds


def test_a_long_text_and_many_stars_take_no_time_to_speak_of() -> None:
    """Where a regular expression would try every way, and take longer than the universe."""
    begun = time.monotonic()
    assert not fits("*a" * 200 + "*b", "a" * 1_000_000)
    assert time.monotonic() - begun < 10
