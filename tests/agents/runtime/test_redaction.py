"""No secret gets through a redactor, in whatever pieces, places and encodings it comes."""

from __future__ import annotations

import base64
import html
import json
import shlex
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.runtime.facts import Reply, ToolRequest
from agents.runtime.redaction import Redactor, secrets_of
from agents.runtime.tools.catalogue import TOOLS
from agents.runtime.tools.registry import Limits, Toolbox, Workspace

VALUE = "s3cr&t/'Va\"lu$ é+=\\x"
PEM = "-----BEGIN KEY-----\nMIIEowIBAAKCAQEA1234\nQmFzZTY0IGxpbmU5876\n-----END KEY-----\n"

# Few letters, so that texts are full of secrets, halves of them and overlaps.
_SECRETS = st.lists(st.text("ab-", min_size=6, max_size=9), min_size=1, max_size=4)
_TEXTS = st.text("ab-\n\r", max_size=60)


def redactor(*values: str) -> Redactor:
    return Redactor((f"N{n}", value) for n, value in enumerate(values))


@given(_SECRETS, _TEXTS, st.lists(st.integers(0, 60), max_size=8))
def test_pieces_together_are_what_the_whole_is(
    values: list[str], text: str, cuts: list[int]
) -> None:
    of_all = redactor(*values)
    edges = [0, *sorted(cuts), len(text)]
    stream = of_all.stream()
    shown = [stream.feed(text[a:b]) for a, b in pairwise(edges)]
    assert "".join([*shown, stream.flush()]) == of_all.text(text)


@given(_SECRETS, st.lists(st.one_of(_TEXTS, st.integers(0, 3)), max_size=6))
def test_every_character_of_every_secret_is_gone(values: list[str], parts: list[Any]) -> None:
    text = "".join(values[p % len(values)] if isinstance(p, int) else p for p in parts)
    assert redactor(*values).text(text) == _plainly(values, text)


def _plainly(values: list[str], text: str) -> str:
    """The same by hand: mark each character of each occurrence, then write the marks."""
    places = [n for n, letter in enumerate(text) if letter not in "\r\n"]
    bare = "".join(text[n] for n in places)
    wanted = {value.strip(): f"N{n}" for n, value in reversed(list(enumerate(values)))}
    spans: list[tuple[int, int, str]] = []
    for at in range(len(bare)):
        here = [value for value in wanted if bare.startswith(value, at)]
        if here:
            longest = max(here, key=len)
            if spans and at < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(spans[-1][1], at + len(longest)), spans[-1][2])
            else:
                spans.append((at, at + len(longest), wanted[longest]))
    for start, end, name in reversed(spans):
        text = f"{text[: places[start]]}[redacted:{name}]{text[places[end - 1] + 1 :]}"
    return text


def test_no_more_is_held_back_than_may_begin_a_secret() -> None:
    stream = redactor("secret-1").stream()
    assert stream.feed("hello sec") == "hello "
    assert stream.feed("ond, secret-") == "second, "
    assert stream.feed("1 and") == "[redacted:N0] and"
    assert stream.feed(" s") == " "
    assert stream.flush() == "s"


def test_a_stream_of_repeats_holds_no_more_than_one_secret() -> None:
    stream = redactor("aaaaaa").stream()
    shown = "".join(stream.feed("a" * 100) for _ in range(100))
    assert shown == "[redacted:N0]"
    assert len(stream._held) < 6
    assert stream.flush() == ""


def test_one_secret_that_begins_another_is_told_by_the_longer() -> None:
    both = redactor("secre7", "secre7-and-more")
    assert both.text("secre7 secre7-and-more") == "[redacted:N0] [redacted:N1]"
    stream = both.stream()
    assert stream.feed("secre7-an") == ""
    assert stream.feed("d-lot") == "[redacted:N0]-and-lot"


def test_overlapping_and_repeated_secrets_are_gone_wholly() -> None:
    assert redactor("abcdef", "defghi").text("abcdefghi.") == "[redacted:N0]."
    assert redactor("abcdef").text("abcdefabcdef") == "[redacted:N0][redacted:N0]"


@pytest.mark.parametrize(
    "shown",
    [
        VALUE,
        base64.b64encode(VALUE.encode()).decode().rstrip("="),
        *(base64.b64encode(b"x" * n + VALUE.encode() + b":y").decode() for n in range(4)),
        base64.urlsafe_b64encode(b"user:" + VALUE.encode()).decode(),
        base64.encodebytes(
            b"before, to have it wrapped about here: " * 2 + VALUE.encode()
        ).decode(),
        quote(VALUE),
        quote(VALUE, safe=""),
        quote_plus(VALUE),
        quote_plus(VALUE).lower().replace("va", "Va"),
        json.dumps({"k": VALUE}),
        json.dumps(VALUE, ensure_ascii=False),
        json.dumps(json.dumps(VALUE)),
        repr({"k": VALUE}),
        html.escape(VALUE),
        shlex.quote(VALUE),
        VALUE.encode().hex(),
        VALUE.encode().hex().upper(),
        "\n".join(VALUE),
    ],
)
def test_obvious_encodings_are_found(shown: str) -> None:
    clean = Redactor([("TOKEN", VALUE)]).text(f"<{shown}>")
    assert clean.count("[redacted:TOKEN]") == 1
    left = clean.replace("[redacted:TOKEN]", "")
    # Of base64 a character at either side also tells of what stands beside the value.
    assert len(left) < 12 or "before" in base64.b64decode(f"{left[1:-1]}====").decode(
        errors="replace"
    )


@pytest.mark.parametrize(
    "command", ["export -p", "set", "printf '%q' \"$TOKEN\"", "declare -p TOKEN"]
)
def test_what_bash_prints_of_a_variable_is_found(command: str) -> None:
    variables = {"TOKEN": VALUE, "LANG": "C.UTF-8"}
    printed = subprocess.check_output(["bash", "-c", command], env=variables).decode()
    assert "s3cr" in printed
    clean = Redactor([("TOKEN", VALUE)]).text(printed)
    assert "s3cr" not in clean
    assert "[redacted:TOKEN]" in clean


def test_the_single_lines_of_a_value_are_secrets_too() -> None:
    key = Redactor([("KEY", PEM)])
    assert key.text(f"<{PEM.strip()}>") == "<[redacted:KEY]>"
    assert key.text(PEM.replace("\n", " ")).count("[redacted:KEY]") == 4
    assert key.text(PEM.replace("\n", "\r\n").strip()) == "[redacted:KEY]"
    assert "MIIE" not in key.text("see: MIIEowIBAAKCAQEA1234, and no more")
    assert key.text(base64.encodebytes(PEM.encode()).decode()).startswith("[redacted:KEY]")


def test_json_is_clean_at_any_depth_and_in_keys() -> None:
    one = redactor("secret-1")
    value = {"a": ["secret-1", 1, None, True], "secret-1": {"b": ("x secret-1",)}}
    assert one.json(value) == {
        "a": ["[redacted:N0]", 1, None, True],
        "[redacted:N0]": {"b": ["x [redacted:N0]"]},
    }


def test_a_reply_is_clean_and_loses_a_raw_form_that_is_not() -> None:
    one = redactor("secret-1")
    asked = ToolRequest("c", "Bash", {"command": "echo secret-1"}, problem="no secret-1")
    reply = one.reply(Reply("say secret-1", (asked,), raw={"thinking": "secret-1"}))
    assert "secret-1" not in repr(reply)
    assert reply.raw is None
    assert one.reply(Reply("hi", raw={"signature": "abc"})).raw == {"signature": "abc"}


@pytest.mark.parametrize("length", range(4, 10))
def test_the_part_of_a_secret_at_a_cut_is_gone(length: int) -> None:
    value = "0123456789"
    one = redactor(value)
    assert one.fragment(f"text {value[:length]}", ends_cut=True) == "text [redacted:N0]"
    assert one.fragment(f"{value[-length:]} text", begins_cut=True) == "[redacted:N0] text"
    assert one.fragment(f"{value[-length:]}{value}", begins_cut=True).startswith("[redacted:N0]")
    # Of a text that was not cut it is no part of anything.
    assert one.text(f"text {value[:length]}") == f"text {value[:length]}"


@pytest.mark.parametrize("left_of_cut", [4, 10, 16])
def test_no_whole_has_the_part_of_a_secret_where_it_is_cut(root: Path, left_of_cut: int) -> None:
    value = "0123456789abcdefghij"
    limits = Limits(output_bytes=1000, whole_bytes=4000)
    workspace = Workspace(root=root, redactor=redactor(value), limits=limits)
    half = (4000 - 400) // 2
    command = (
        f"printf '%0{half - left_of_cut}d{value}%04000d{value}%0{half + left_of_cut - 20}d' 0 0 0"
    )
    result = Toolbox(TOOLS.values(), ["*"]).call(
        ToolRequest("1", "Bash", {"command": command}), workspace
    )
    assert result.whole is not None
    assert result.whole.is_cut
    assert result.whole.text.count("[redacted:N0]") == 2
    assert "0123" not in result.whole.text
    assert "ghij" not in result.whole.text


@pytest.mark.parametrize("left_of_cut", range(4, 20, 5))
def test_no_tool_shows_the_part_of_a_secret_where_it_cuts(root: Path, left_of_cut: int) -> None:
    value = "0123456789abcdefghij"
    for name, shown in (("read", 2000), ("grep", 500)):
        (root / name).write_text("." * (shown - left_of_cut) + value + "." * 3000)
    workspace = Workspace(root=root, redactor=redactor(value), limits=Limits(output_bytes=4000))
    half = (4000 - 400) // 2
    inside = f"printf '%0{half - left_of_cut}d{value}%0{half + left_of_cut - 15}d' 0 0"
    for request in (
        ToolRequest("1", "Read", {"path": "read"}),
        ToolRequest("2", "Grep", {"path": "grep", "pattern": r"^\."}),
        # Cut on both sides of the value, as there is nothing beside it that is left out.
        ToolRequest("3", "Bash", {"command": f"{inside}; printf 'xxxxx'"}),
    ):
        output = Toolbox(TOOLS.values(), ["*"]).call(request, workspace).output
        assert "[redacted:N0]" in output, (request.name, output)
        assert "0123" not in output
        assert "ghij" not in output


def test_what_is_too_common_is_no_secret() -> None:
    environment = {
        "DEBUG": "1", "MODE": "production", "PATH": "/usr/local/bin:/usr/bin", "LC_ALL": "C.UTF-8",
        "SHORT": "12345", "SELF": "API_TOKEN", "API_TOKEN": "t0k3n-value",
        "DATABASE": "postgres://user:p%40ssw0rd@host/name",
    }  # fmt: skip
    found = dict.fromkeys(value for _, value in secrets_of(environment))
    clean = Redactor(secrets_of(environment)).text(" ".join(environment.values()))
    assert "p@ssw0rd" in found
    assert clean == (
        "1 production /usr/local/bin:/usr/bin C.UTF-8 12345 API_TOKEN [redacted:API_TOKEN] "
        "[redacted:DATABASE]"
    )
    assert "ssw0rd" not in Redactor(secrets_of(environment)).text("a p@ssw0rd, or p%40ssw0rd")


def test_redacting_again_changes_nothing() -> None:
    one = redactor("secret-1")
    clean = one.text("a secret-1 b")
    assert one.text(clean) == clean
