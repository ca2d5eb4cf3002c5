"""Whoever watches an execution comes to know of what it was not told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import sync_to_async
from django.db import connection

from agents import redis as hints
from agents.models import Organization
from agents.watching import looks
from executions import stream
from executions.models import Event, Execution
from executions.watching.feed import Feed
from executions.watching.news import Line
from executions.watching.pieces import Piece
from executions.watching.readers import Reader
from tests.executions.watching_streams import a_child, end, told_of
from tests.starting import a_run, an_agent

pytestmark = pytest.mark.django_db(transaction=True)


class Listener:
    """Somebody who watches, and notes what it is told."""

    def __init__(self, *, is_of_tree: bool = False) -> None:
        self.is_of_tree = is_of_tree
        self.told: list[Any] = []

    def tell(self, line: Line) -> None:
        self.told.append((line.seq, line.type))

    def show(self, piece: Piece) -> None:
        self.told.append(json.loads(piece.written.split(b"data: ")[1])["turn"])

    def miss(self) -> None:
        self.told.append("miss")

    def adopt(self, child: UUID) -> None:
        self.told.append(child)

    async def hears(self, count: int) -> list[Any]:
        async with asyncio.timeout(20):
            while len(self.told) < count:
                await asyncio.sleep(0.01)
        return self.told


@pytest.fixture
def run(organization: Organization) -> Execution:
    return a_run(an_agent(organization), {"say": "x"})


async def rows(write: Callable[..., Any], *given: Any) -> Any:
    def writing() -> Any:
        try:
            return write(*given)
        finally:
            connection.close()

    return await sync_to_async(writing, thread_sensitive=False)()


def test_a_number_that_is_missing_makes_a_reader_read_rows(
    run: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "SAFETY_NET_SECONDS", 3600)

    async def read() -> str:
        reader = Reader(run.id, frozenset(), is_of_tree=False)
        chunks = reader.chunks({}, 3600)
        text = await _until(chunks, "id: 1\nevent")
        waiting = asyncio.create_task(anext(chunks))
        await asyncio.sleep(1)
        monkeypatch.setattr(hints, "publish", lambda channel, hint: None)
        await rows(told_of, run)
        await rows(told_of, run)
        reader.tell(await rows(_last, run))
        async with asyncio.timeout(20):
            text += (await waiting).decode()
        await chunks.aclose()
        return text

    ids = [line for line in asyncio.run(read()).splitlines() if line.startswith("id: ")]
    assert ids == ["id: 0", "id: 1", "id: 2", "id: 3"]


def test_what_was_given_already_is_not_given_again(run: Execution) -> None:
    async def read() -> str:
        reader = Reader(run.id, frozenset(), is_of_tree=False)
        chunks = reader.chunks({}, 3600)
        text = await _until(chunks, "id: 1\nevent")
        reader.tell(await rows(_last, run))
        await rows(told_of, run)
        text += await _until(chunks, "id: 2\nevent")
        await chunks.aclose()
        return text

    assert asyncio.run(read()).count("event: execution.queued") == 1


def test_a_child_that_came_while_the_past_was_read_is_in_the_stream(run: Execution) -> None:
    async def read() -> str:
        reader = Reader(run.id, frozenset(), is_of_tree=True)
        chunks = reader.chunks({}, 3600)
        await anext(chunks)
        # It knows who belongs to the tree, and has read nothing yet.
        child = await rows(a_child, run)
        await rows(end, run)
        text = await _until(chunks, "execution.completed")
        await rows(end, child)
        return text + "".join([chunk.decode() async for chunk in chunks])

    assert asyncio.run(read()).count("event: execution.completed") == 2


async def _until(chunks: AsyncGenerator[bytes], wanted: str) -> str:
    text = ""
    async with asyncio.timeout(20):
        while wanted not in text:
            text += (await anext(chunks)).decode()
    return text


def _last(run: Execution) -> Line:
    return Line.of(Event.objects.filter(execution=run).order_by("seq").last())


def test_who_joins_behind_the_others_is_told_that_it_misses_something(run: Execution) -> None:
    async def join() -> list[Any]:
        feed, first, second = Feed(), Listener(), Listener()
        feed.join(first, run.id, 0)
        await first.hears(1)
        feed.join(second, run.id, 0)
        feed.leave(first, run.id)
        feed.leave(second, run.id)
        return second.told

    assert asyncio.run(join()) == ["miss"]


def test_who_joins_is_told_the_children_that_are_known(run: Execution) -> None:
    child = a_child(run)

    async def join() -> list[Any]:
        feed, first, second = Feed(), Listener(is_of_tree=True), Listener(is_of_tree=True)
        feed.join(first, run.id, 2)
        await first.hears(1)
        feed.join(second, run.id, 2)
        feed.leave(first, run.id)
        feed.leave(second, run.id)
        return second.told

    assert asyncio.run(join()) == [child.id]


def test_children_are_told_before_the_last_event_of_their_parent(run: Execution) -> None:
    child = a_child(run)
    end(run)

    async def join() -> list[Any]:
        feed, listener = Feed(), Listener(is_of_tree=True)
        feed.join(listener, run.id, 2)
        told = await listener.hears(3)
        feed.leave(listener, run.id)
        return told

    told = asyncio.run(join())
    assert told[0] == child.id
    assert told[-1][1] == "execution.completed"


def test_what_was_shown_after_an_event_is_not_told_before_it(
    run: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "SAFETY_NET_SECONDS", 3600)

    def both() -> None:
        stream.publish_tokens(run.id, "text", "x", told_of(run))

    async def join() -> list[Any]:
        feed, listener = Feed(), Listener()
        feed.join(listener, run.id, 1)
        await asyncio.sleep(1)
        for _ in range(10):
            await rows(both)
        told = await listener.hears(20)
        feed.leave(listener, run.id)
        return told

    reached, shown = 1, []
    for told in asyncio.run(join()):
        if isinstance(told, tuple):
            reached = told[0]
        else:
            assert told <= reached
            shown.append(told)
    assert shown == list(range(2, 12))
