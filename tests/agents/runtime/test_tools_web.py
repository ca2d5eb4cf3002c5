"""WebFetch reads public pages within bounds, and is led nowhere else."""

from __future__ import annotations

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import pytest

from agents.runtime.facts import Outcome, ToolRequest, ToolResult
from agents.runtime.tools.addresses import Refused, is_public, require_public, target_of
from agents.runtime.tools.pages import readable
from agents.runtime.tools.registry import Limits, Toolbox, Workspace
from agents.runtime.tools.web import WebFetch
from tests.agents.runtime.far_servers import OTHER, PUBLIC, answer, certified, far_server, saying

URL = "http://page.example/a?b=1"
HTML = "Content-Type: text/html"
PLAIN = "Content-Type: text/plain"


def fetch(tool: WebFetch, url: str = URL, workspace: Workspace | None = None, **more: Any):
    request = ToolRequest("call-1", "WebFetch", {"url": url, **more})
    return Toolbox([tool], ["WebFetch"]).call(request, workspace or Workspace(Path("/nowhere")))


def refused(result: ToolResult) -> bool:
    return result.outcome is Outcome.ERROR and result.output.startswith("Refused: ")


INSIDE = """
    0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.254 169.254.169.254
    172.16.0.1 172.31.255.255 192.0.0.8 192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1
    198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
    168.63.129.16 :: ::1 ::127.0.0.1 ::8.8.8.8 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:8.8.8.8
    64:ff9b::127.0.0.1 64:ff9b::a9fe:a9fe 64:ff9b:1::8.8.8.8 100::1 2001::1 2001:0:4136:e378::1
    2001:2::1 2001:10::1 2001:db8::1 2002:7f00:1:: 2002:808:808:: 3fff::1 fc00::1 fd00:ec2::254
    fe80::1 fe80::1%eth0 fec0::1 ff02::1 2606:4700::1%1 4000::1
"""
OUTSIDE = """
    1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 192.0.1.1 2606:4700::1111
    2a00:1450:4001:80b::200e 64:ff9b::8.8.8.8
"""


# --- addresses ----------------------------------------------------------------------------------


@pytest.mark.parametrize("address", INSIDE.split())
def test_what_is_not_public_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OUTSIDE.split())
def test_what_is_public_is_not(address: str) -> None:
    assert is_public(address)


def test_the_machine_itself_is_not_public_whatever_its_address(monkeypatch) -> None:
    monkeypatch.setattr("agents.runtime.tools.addresses.is_public", lambda address: True)
    with pytest.raises(Refused):
        require_public(["127.0.0.1"], "here.example")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://page.example/",
        "file:///etc/passwd",
        "gopher://page.example/",
        "data:text/plain,x",
        "//page.example/",
        "page.example",
        "http:///path",
        "http://",
        "http://user@page.example/",
        "http://user:secret@page.example/",
        "http://page.example@127.0.0.1/",
        "http://page.example\\@127.0.0.1/",
        "http://page.example/a b",
        "http://page.example/\r\nHost: other",
        "http://2130706433/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0177.0.0.1/",
        "http://127.1/",
        "http://127.0.0.1.5/",
        "http://0/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://page..example/",
        "http://page.example../",
        "http://-page-.example/",
        "http://pa%67e.example/",
        "http://page.example:22/",
        "http://page.example:6379/",
        "http://page.example:443/",
        "https://page.example:80/",
        "http://page.example:0/",
        "http://page.example:99999/",
        "http://page.example:x/",
        "http://" + "a" * 5000,
    ],
)
def test_urls_that_mean_nothing_public_are_refused_unasked(url: str) -> None:
    with far_server(saying(answer())) as far:
        assert refused(fetch(far.tool(), url))
        assert not far.dialled


def test_hosts_are_asked_for_in_one_spelling() -> None:
    hosts = {
        "http://PAGE.example./": "page.example",
        "http://bücher.example/": "xn--bcher-kva.example",
        "http://\uff11\uff12\uff17.0.0.1/": "127.0.0.1",
        "http://[2606:4700:0:0::1111]/": "2606:4700::1111",
    }
    assert {url: target_of(url).host for url in hosts} == hosts


@pytest.mark.parametrize(
    "found",
    [
        ["127.0.0.1"],
        ["169.254.169.254"],
        ["::ffff:10.0.0.1"],
        ["::ffff:127.0.0.1"],
        [PUBLIC, "10.0.0.1"],
        ["fd00::1", PUBLIC],
        ["fe80::1%eth0"],
        [],
    ],
)
def test_a_name_with_any_address_that_is_not_public_is_refused(found: list[str]) -> None:
    with far_server(saying(answer())) as far:
        assert refused(fetch(far.tool(found)))
        assert not far.dialled


def test_what_answers_differently_the_second_time_is_not_asked_a_second_time() -> None:
    with far_server(saying(answer(b"public", PLAIN))) as far:
        result = fetch(far.tool([PUBLIC], ["127.0.0.1"]))
        assert result.outcome is Outcome.COMPLETE
        assert far.dialled == [(PUBLIC, 80)]


def test_a_redirect_is_looked_up_anew_and_refused_where_it_leads_inside() -> None:
    with far_server(saying(answer(b"", "Location: /b", status="302 Found"))) as far:
        assert refused(fetch(far.tool([PUBLIC], ["127.0.0.1"])))
        assert far.dialled == [(PUBLIC, 80)]


@pytest.mark.parametrize(
    "location",
    [
        "ftp://page.example/",
        "file:///etc/passwd",
        "http://user@page.example/",
        "http://2130706433/",
        "http://page.example:6379/",
        "//[::1/",
    ],
)
def test_a_redirect_is_held_to_what_urls_are(location: str) -> None:
    with far_server(saying(answer(b"", f"Location: {location}", status="301 Moved"))) as far:
        assert refused(fetch(far.tool()))
        assert len(far.dialled) == 1


@pytest.mark.parametrize(
    "location", ["http://127.0.0.1/", "http://[::1]/", "http://[::ffff:7f00:1]/"]
)
def test_a_redirect_to_an_address_is_checked_as_it_stands(location: str) -> None:
    with far_server(saying(answer(b"", f"Location: {location}", status="307 There"))) as far:
        inside = location.removeprefix("http://").strip("[]/")
        assert refused(fetch(far.tool([PUBLIC], [inside])))
        assert len(far.dialled) == 1


def test_redirects_without_end_end() -> None:
    with far_server(saying(answer(b"", "Location: /again", status="302 Found"))) as far:
        result = fetch(far.tool())
        assert (result.outcome, len(far.dialled)) == (Outcome.ERROR, 6)
        assert "More than 5 redirects" in result.output


def test_redirects_are_followed_with_the_new_name() -> None:
    def serve(connection: socket.socket, head: str) -> None:
        elsewhere = answer(
            b"", "Location: http://other.example:8080/x", "Set-Cookie: a=1", status="302"
        )
        connection.sendall(answer(b"there", PLAIN) if "other" in head else elsewhere)

    with far_server(serve) as far:
        result = fetch(far.tool())
        assert "http://other.example:8080/x (200" in result.output
        assert far.dialled == [(PUBLIC, 80), (PUBLIC, 8080)]
        assert "host: other.example:8080" in far.heads[1].lower()
        assert "cookie" not in far.heads[1].lower()


def test_proxies_of_the_environment_are_passed_over(monkeypatch) -> None:
    with far_server(saying(answer(b"direct", PLAIN))) as far, far_server(saying(answer())) as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        assert "direct" in fetch(far.tool()).output
        assert not proxy.heads


def test_an_address_that_does_not_answer_is_followed_by_the_next() -> None:
    with far_server(saying(answer(b"second", PLAIN))) as far:
        fetcher = far.fetcher([OTHER, PUBLIC])
        dial = fetcher.dial
        object.__setattr__(
            fetcher, "dial", lambda to, port: ("127.0.0.1", 1) if to == OTHER else dial(to, port)
        )
        assert "second" in fetch(WebFetch(lambda: fetcher)).output


def test_certificates_are_asked_for_and_checked_by_name(tmp_path: Path) -> None:
    server, client = certified(tmp_path, "page.example")
    with far_server(saying(answer(b"secret", PLAIN)), server) as far:
        tool = far.tool(trusted=lambda: client)
        assert "secret" in fetch(tool, "https://page.example/").output
        wrong = fetch(tool, "https://other.example/")
        assert wrong.outcome is Outcome.ERROR
        assert "certificate" in wrong.output.lower()


# --- bounds -------------------------------------------------------------------------------------


def endlessly(piece: bytes, *first: bytes, pause: float = 0.0):
    def serve(connection: socket.socket, head: str) -> None:
        connection.sendall(b"".join(first))
        while True:
            connection.sendall(piece)
            time.sleep(pause)

    return serve


@pytest.mark.parametrize(
    "serve",
    [
        lambda connection, head: time.sleep(3),
        endlessly(b"X-A: b\r\n", b"HTTP/1.1 200 OK\r\n", pause=0.05),
        endlessly(b"x", answer(b"", PLAIN), pause=0.05),
    ],
)
def test_what_is_slow_is_given_up_however_it_drips(serve) -> None:
    with far_server(serve) as far:
        result = fetch(far.tool(seconds=0.4))
        assert (result.outcome, "within 0.4 s" in result.output) == (Outcome.ERROR, True)


def test_a_name_that_is_never_found_is_given_up() -> None:
    with far_server(saying(answer())) as far:
        found = threading.Event()
        fetcher = far.fetcher(seconds=0.3)
        object.__setattr__(fetcher, "resolve", lambda host, port: found.wait(10) or [PUBLIC])
        result = fetch(WebFetch(lambda: fetcher))
        found.set()
        assert "within 0.3 s" in result.output


def test_a_body_without_end_is_cut_and_says_so() -> None:
    with far_server(endlessly(b"x" * 65536, answer(b"", PLAIN))) as far:
        result = fetch(far.tool(most_bytes=10_000))
        assert result.outcome is Outcome.COMPLETE
        assert "x" * 10_000 + "\n[... cut: the rest" in result.output
        assert far.closed.wait(5)


def test_a_bomb_is_unpacked_no_further_than_it_is_kept() -> None:
    bomb = gzip.compress(b"0" * 50_000_000)
    with far_server(saying(answer(bomb, PLAIN, "Content-Encoding: gzip"))) as far:
        tracemalloc.start()
        try:
            result = fetch(far.tool(most_bytes=10_000))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert "0" * 10_000 + "\n[... cut: the rest" in result.output
        assert peak < 20_000_000


def test_a_bomb_of_nothing_is_given_up() -> None:
    packing = zlib.compressobj()
    nothing = packing.flush(zlib.Z_SYNC_FLUSH)
    empty = packing.flush(zlib.Z_FULL_FLUSH) or b"\x00\x00\x00\xff\xff"
    first = answer(nothing, PLAIN, "Content-Encoding: deflate")
    with far_server(endlessly(empty * 1000, first)) as far:
        result = fetch(far.tool(most_bytes=10_000))
        assert (result.outcome, "packed" in result.output) == (Outcome.ERROR, True)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_compressed_pages_are_read(encoding: str) -> None:
    body = {"gzip": gzip.compress, "deflate": zlib.compress}[encoding](b"packed")
    with far_server(saying(answer(body, PLAIN, f"Content-Encoding: {encoding}"))) as far:
        assert fetch(far.tool()).output.endswith("packed")


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip", "gzip"])
def test_what_cannot_be_unpacked_is_told(encoding: str) -> None:
    with far_server(saying(answer(b"not packed", PLAIN, f"Content-Encoding: {encoding}"))) as far:
        assert fetch(far.tool()).outcome is Outcome.ERROR


@pytest.mark.parametrize("line", [b"X-Long: " + b"a" * 1000 + b"\r\n", b"a" * 1000])
def test_headers_without_end_are_given_up(line: bytes) -> None:
    with far_server(endlessly(line, b"HTTP/1.1 200 OK\r\n")) as far:
        assert fetch(far.tool()).outcome is Outcome.ERROR
        assert far.closed.wait(5)


@pytest.mark.parametrize("garbage", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 abc\r\n\r\n"])
def test_what_is_no_web_server_is_told(garbage: bytes) -> None:
    with far_server(saying(garbage)) as far:
        assert fetch(far.tool()).outcome is Outcome.ERROR


def test_a_stop_ends_it_at_once() -> None:
    asked, stop = threading.Event(), threading.Event()

    def serve(connection: socket.socket, head: str) -> None:
        asked.set()
        connection.settimeout(10)
        if not connection.recv(1):
            raise OSError("It has left.")

    with far_server(serve) as far:
        threading.Thread(target=lambda: asked.wait(5) and stop.set()).start()
        result = fetch(far.tool(seconds=60), workspace=Workspace(Path("/nowhere"), stop=stop))
        assert result.outcome is Outcome.INTERRUPTED
        assert far.closed.wait(5)


# --- texts --------------------------------------------------------------------------------------


def test_a_page_of_html_is_read_as_markdown() -> None:
    page = (
        b"<!DOCTYPE html><title>A &amp; B</title><style>p{}</style><script>if (1 < 2) x()</script>"
        b"<h2>One</h2><p>Some <b>bold</b>\n  text, <a title=\"x>y\" href='/z?a=1'>linked</a>."
        b"<ul><li>first<li>second</ul><!-- hidden --><pre>def f():\n    pass</pre>3 < 4"
    )
    with far_server(saying(answer(page, HTML))) as far:
        result = fetch(far.tool())
    assert result.output == (
        f"{URL} (200, text/html)\n\nA & B\n\n## One\n\nSome bold text, "
        "[linked](http://page.example/z?a=1).\n\n- first\n- second\n\ndef f():\n    pass\n\n3 < 4"
    )


@pytest.mark.parametrize("kind", ["application/json", "text/markdown", "application/ld+json", ""])
def test_other_texts_are_given_as_they_are(kind: str) -> None:
    body = b'{"a": "<b>"}'
    with far_server(saying(answer(body, *([f"Content-Type: {kind}"] if kind else [])))) as far:
        assert fetch(far.tool()).output.endswith('\n\n{"a": "<b>"}')


@pytest.mark.parametrize(
    ("kind", "body"), [("image/png", b"\x89PNG"), ("application/pdf", b"%PDF"), ("", b"\0\1\2")]
)
def test_what_is_no_text_is_refused_politely(kind: str, body: bytes) -> None:
    with far_server(saying(answer(body, *([f"Content-Type: {kind}"] if kind else [])))) as far:
        result = fetch(far.tool())
        assert (result.outcome, "only text can be read" in result.output) == (Outcome.ERROR, True)


@pytest.mark.parametrize(
    ("header", "body", "text"),
    [
        ("text/plain; charset=latin-1", b"caf\xe9", "café"),
        ("text/plain; charset=martian", "café".encode(), "café"),
        ("text/plain; charset=ascii", "café".encode(), "caf\ufffd\ufffd"),
        ("text/plain; charset=utf-8", b"caf\xe9 \x00", "caf\ufffd \ufffd"),
        ("text/plain; charset=zlib", b"cafe", "cafe"),
        ("text/plain; charset=punycode", b"caf-xyz", "caf-xyz"),
        ("text/plain; charset=undefined", b"cafe", "cafe"),
        ("text/plain; charset=utf-8", "café".encode("utf-16"), "café"),
        ("text/html", b'<meta charset="windows-1252">caf\xe9', "café"),
    ],
)
def test_a_charset_that_is_wrong_costs_characters_only(header: str, body: bytes, text: str) -> None:
    with far_server(saying(answer(body, f"Content-Type: {header}"))) as far:
        result = fetch(far.tool())
        assert (result.outcome, result.output.partition("\n\n")[2]) == (Outcome.COMPLETE, text)


def test_long_texts_are_read_on_from_an_offset() -> None:
    workspace = Workspace(Path("/nowhere"), limits=Limits(output_bytes=3000))
    body = b"".join(b"%05d" % number for number in range(300))
    with far_server(saying(answer(body, PLAIN))) as far:
        first = fetch(far.tool(), workspace=workspace).output
        assert "[... cut: 1500 characters; go on with offset 1000 ...]" in first
        rest = fetch(far.tool(), workspace=workspace, offset=1000).output
        assert "[from character 1000 of 1500]" in rest
        assert rest.endswith("00299")


def test_an_error_of_the_server_is_one_with_what_it_said() -> None:
    with far_server(saying(answer(b"gone for good", PLAIN, status="410 Gone"))) as far:
        result = fetch(far.tool())
        assert result.outcome is Outcome.ERROR
        assert "answered 410.\ngone for good" in result.output


def test_it_may_be_repeated_and_touches_no_files() -> None:
    tool = WebFetch()
    assert (tool.repeatable, tool.uses_files, tool.changes_files) == (True, False, False)


@pytest.mark.parametrize("piece", ["<", "<!", "<a ", "<!--", '<a ">', "<script>", "&#9", "<pre>\n"])
def test_hostile_pages_are_read_in_time(piece: str) -> None:
    """A second per megabyte would be much; what is quadratic takes minutes."""
    started = time.process_time()
    readable(piece * (500_000 // len(piece)), "http://page.example/")
    assert time.process_time() - started < 10
