"""Connections that are kept lead to what was checked, and to the name that it was checked for."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest

from agents.runtime.tools.addresses import Refused, target_of
from agents.runtime.tools.connecting import Asking, Connector, FetchFailed, Kept
from tests.agents.runtime.far_servers import OTHER, PUBLIC, FarServer, certified, far_server

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
URL = "http://far.example/hook"


def staying(connection: socket.socket, head: str) -> None:
    """Answer one request after the other, until the other side has had enough."""
    connection.sendall(ANSWER)
    while connection.recv(4096):
        connection.sendall(ANSWER)


async def read(response: httpx2.Response) -> bytes:
    return b"".join([piece async for piece in response.aiter_raw()])


async def ask(kept: Kept, url: str = URL) -> bytes:
    return await kept.ask(target_of(url), Asking("GET"), read)


def reaching(far: FarServer, *answers: Sequence[str], **more: Any) -> Connector:
    """The same as of a fetcher, and nothing more than that."""
    made = far.fetcher(*answers)
    return Connector(resolve=made.resolve, dial=made.dial, **more)


def carried_out(connector: Connector, *urls: str) -> list[Any]:
    """What came of each, one after the other on connections that are kept."""

    async def go() -> list[Any]:
        async with Kept(connector) as kept:
            found: list[Any] = []
            for url in urls:
                try:
                    found.append(await ask(kept, url))
                except (Refused, FetchFailed) as error:
                    found.append(error)
            return found

    return asyncio.run(go())


def test_one_after_the_other_they_go_over_one_connection() -> None:
    with far_server(staying) as far:
        assert carried_out(reaching(far), URL, URL, URL) == [b"ok"] * 3
        assert len(far.heads) == 1


def test_another_receiver_of_the_host_has_a_connection_of_its_own() -> None:
    """What the one sends beyond its answer is not taken for the other's."""
    with far_server(staying) as far:
        assert carried_out(reaching(far), URL, f"{URL}/2", URL) == [b"ok"] * 3
        assert len(far.heads) == 2


def test_a_host_is_looked_up_once_however_many_ask_at_once() -> None:
    async def go(connector: Connector) -> list[bytes]:
        async with Kept(connector) as kept:
            return list(await asyncio.gather(*(ask(kept) for _ in range(20))))

    with far_server(staying) as far:
        # A second look would find the machine itself.
        assert asyncio.run(go(reaching(far, [PUBLIC], ["127.0.0.1"]))) == [b"ok"] * 20
        assert set(far.dialled) == {(PUBLIC, 80)}


def test_whoever_comes_later_looks_it_up_anew() -> None:
    with far_server(staying) as far:
        connector = reaching(far, [PUBLIC], ["127.0.0.1"])
        assert carried_out(connector, URL) == [b"ok"]
        (refused,) = carried_out(connector, URL)
        assert isinstance(refused, Refused)


def test_what_was_refused_stays_so_for_all_who_ask() -> None:
    with far_server(staying) as far:
        found = carried_out(reaching(far, ["10.0.0.1"], [PUBLIC]), URL, URL)
        assert all(isinstance(each, Refused) for each in found)
        assert not far.dialled


def test_a_connection_to_one_name_is_not_used_for_another(tmp_path: Path) -> None:
    server, trusting = certified(tmp_path, "far.example")
    with far_server(staying, server) as far:
        connector = reaching(far, trusted=lambda: trusting)
        good, bad = carried_out(connector, "https://far.example/", "https://other.example/")
        assert good == b"ok"
        assert "certificate" in str(bad).lower()


def test_an_address_that_takes_no_connection_is_tried_last_from_then_on() -> None:
    with far_server(staying) as far:
        connector = reaching(far, [OTHER, PUBLIC])
        through = connector.dial

        def dial(address: str, port: int) -> tuple[str, int]:
            host, _ = through(address, port)
            return host, 1 if address == OTHER else far.port

        found = carried_out(Connector(resolve=connector.resolve, dial=dial), URL, URL, URL)
        assert found == [b"ok"] * 3
        assert far.dialled.count((OTHER, 80)) == 1


def test_who_gives_up_the_wait_for_an_address_takes_it_from_nobody_else() -> None:
    async def go(connector: Connector) -> bytes:
        async with Kept(connector) as kept:
            impatient = asyncio.create_task(ask(kept))
            patient = asyncio.create_task(ask(kept))
            await asyncio.sleep(0)
            impatient.cancel()
            with pytest.raises(asyncio.CancelledError):
                await impatient
            return await patient

    with far_server(staying) as far:
        assert asyncio.run(go(reaching(far))) == b"ok"


def test_all_are_closed_at_the_end() -> None:
    ended = threading.Event()

    def serve(connection: socket.socket, head: str) -> None:
        staying(connection, head)
        ended.set()

    async def go(connector: Connector) -> bool:
        async with Kept(connector) as kept:
            await ask(kept)
        return await asyncio.to_thread(ended.wait, 5)

    with far_server(serve) as far:
        assert asyncio.run(go(reaching(far)))
