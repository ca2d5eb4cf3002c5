"""Agents that run themselves wait for their inbox, and hear what happens around them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from typing import Any

import httpx2
import pytest
from django.db import connection

from agents.actions import create_token
from agents.activity import SYSTEM
from agents.messages import Letter, send
from agents.models import Agent, MessageKind
from agents.receipts import inbox_channel
from agents.redis import client
from agents.rest import events
from agents.watching import looks
from boards.models import Seat
from tests.boards.agents import AGENT, World, with_token
from tests.processes import wait_until
from tests.streaming import Server, a_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]


@pytest.fixture
def server() -> Iterator[Server]:
    with a_server() as server:
        yield server


def token(agent: Agent) -> dict[str, str]:
    return {"X-Agent-Token": create_token(agent, by=SYSTEM)[1]}


def tell(world: World, agent: Agent, content: str = "Go on.") -> None:
    send(world.organization, Letter(MessageKind.CHAT, content, agent), by=SYSTEM)


def ask(server: Server, headers: dict[str, str], seconds: int) -> tuple[list[str], float]:
    began = time.monotonic()
    where = f"{server.url}{AGENT}/inbox?wait_seconds={seconds}"
    answer = httpx2.get(where, headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    told = [message["content"] for message in answer.json()["results"]]
    return told, time.monotonic() - began


def test_an_inbox_that_has_something_answers_at_once(server: Server) -> None:
    world = World()
    tell(world, world.worker)
    told, seconds = ask(server, token(world.worker), 30)
    assert told == ["Go on."]
    assert seconds < 10


@pytest.mark.parametrize("by", ["hint", "look"])
def test_an_empty_inbox_answers_when_a_message_comes(
    server: Server, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    world = World()
    if by == "hint":
        monkeypatch.setattr(looks, "SAFETY_NET_SECONDS", 3600)
    else:
        monkeypatch.setattr("agents.receipts.publish_all", lambda *hint: None)
    found: list[Any] = []
    headers = token(world.worker)
    waiting = threading.Thread(target=lambda: found.append(ask(server, headers, 30)))
    waiting.start()
    time.sleep(1)
    tell(world, world.lead, "Not for you.")
    time.sleep(0.5)
    assert waiting.is_alive()
    tell(world, world.worker)
    waiting.join(20)
    assert [told for told, _ in found] == [["Go on."]]
    assert found[0][1] < 20


def test_an_agent_that_goes_away_is_waited_for_no_longer(server: Server) -> None:
    world = World()
    channel, where = inbox_channel(world.worker.id), f"{AGENT}/inbox?wait_seconds=30"

    def listeners() -> int:
        return int(client().pubsub_numsub(channel)[0][1])

    gone = HTTPConnection(server.host, server.port)
    gone.request("GET", where, headers=token(world.worker))
    wait_until(lambda: listeners() == 1)
    gone.close()
    wait_until(lambda: listeners() == 0)


def test_patience_has_an_end(server: Server) -> None:
    told, seconds = ask(server, token(World().worker), 1)
    assert (told, 1 <= seconds < 10) == ([], True)


@pytest.mark.parametrize("seconds", ["31", "-1", "soon", ""])
def test_patience_has_limits(seconds: str) -> None:
    answer = with_token(World().worker).get(f"{AGENT}/inbox?wait_seconds={seconds}")
    assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")


def test_agents_that_wait_hold_no_thread(server: Server) -> None:
    world = World()
    headers = token(world.worker)
    before = threading.active_count()

    def tell_from_a_thread() -> None:
        tell(world, world.worker)
        connection.close()

    async def crowd() -> tuple[int, list[int]]:
        limits = httpx2.Limits(max_connections=None)
        async with httpx2.AsyncClient(timeout=60, limits=limits) as client:
            where = f"{server.url}{AGENT}/inbox?wait_seconds=20"
            asked = [asyncio.create_task(client.get(where, headers=headers)) for _ in range(60)]
            await asyncio.sleep(4)
            threads = threading.active_count() - before
            await asyncio.to_thread(tell_from_a_thread)
            return threads, [answer.status_code for answer in await asyncio.gather(*asked)]

    threads, statuses = asyncio.run(crowd())
    assert statuses == [200] * 60
    assert threads < 20


def test_an_agent_hears_of_its_board_and_of_its_inbox(server: Server) -> None:
    world = World()
    with (
        server.reading("/agent/stream", token(world.worker)) as worker,
        server.reading("/agent/stream", token(world.main)) as main,
        server.reading("/agent/stream", token(world.stranger)) as stranger,
    ):
        for reader in (worker, main, stranger):
            # Something may have come while nobody listened.
            assert reader.next().type == "inbox"
        task = world.task()
        heard = worker.next()
        assert (heard.type, heard.data["task"]) == ("task.created", str(task.id))
        assert main.next().data["id"] == heard.data["id"]
        tell(world, world.worker)
        assert worker.next().type == "inbox"
        assert main.is_silent(0.5)
        assert stranger.is_silent(0.1)


def test_an_agent_that_changes_boards_begins_anew(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BEAT_SECONDS", 0.2)
    world = World()
    with server.reading("/agent/stream", token(world.worker)) as reader:
        assert reader.next().type == "inbox"
        Seat.objects.filter(agent=world.worker).update(board=world.other_board)
        assert reader.ends()
