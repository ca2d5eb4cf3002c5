"""The consolidated stream: an execution and all below it, children that come later among them."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction

from agents.models import Organization
from executions.models import Execution
from executions.watching import cursor, news, readers
from tests.executions.carrying import drive
from tests.executions.kinds import begun
from tests.executions.watching_streams import (
    a_child,
    end,
    reading_key,
    rows_of,
    seen,
    told_of,
    tree,
)
from tests.starting import a_run, an_agent
from tests.streaming import PATIENCE, Server, a_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]


@pytest.fixture
def server() -> Iterator[Server]:
    with a_server() as server:
        yield server


@pytest.fixture
def root(organization: Organization) -> Execution:
    return a_run(an_agent(organization), {"say": "x"})


@pytest.fixture
def reads(organization: Organization) -> dict[str, str]:
    return reading_key(organization)


def test_children_that_come_during_the_stream_join_it(
    server: Server, root: Execution, reads: dict[str, str]
) -> None:
    with server.reading(tree(root), reads) as reader:
        reader.take(1)
        child = a_child(root)
        told_of(child)
        grandchild = a_child(child)
        told_of(grandchild)
        for each in (grandchild, child, root):
            end(each)
        events = reader.rest()
    expected = rows_of(root, child, grandchild)
    expected[root.id] = expected[root.id][1:]
    assert seen(events) == expected


def test_it_is_the_same_before_during_and_after(
    server: Server, root: Execution, reads: dict[str, str]
) -> None:
    with server.reading(tree(root), reads) as before:
        child = a_child(root)
        told_of(child)
        with server.reading(tree(root), reads) as during:
            # A root that has ended does not end it.
            end(root)
            other = a_child(child)
            end(child)
            end(other)
            found = [before.rest(), during.rest()]
    with server.reading(tree(root), reads) as after:
        found.append(after.rest())
    assert [seen(events) for events in found] == [rows_of(root, child, other)] * 3


def test_the_past_is_told_in_the_order_of_time(
    server: Server, root: Execution, reads: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "PAGE", 4)
    monkeypatch.setattr(news, "LEAST", 2)
    child, other = a_child(root), a_child(root)
    told = []
    for number in range(30):
        of = (root, child, other)[number % 3]
        told.append((str(of.id), told_of(of)))
    for each in (root, child, other):
        end(each)
    with server.reading(tree(root), reads) as reader:
        events = reader.rest()
    assert seen(events) == rows_of(root, child, other)
    order = [(event.data["exec_id"], event.data["seq"]) for event in events]
    assert [each for each in order if each in told] == told


@pytest.mark.parametrize("seed", range(6))
def test_resuming_at_random_loses_nothing_and_repeats_nothing(
    server: Server, root: Execution, reads: dict[str, str], seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  It is to be repeatable.
    runs = [root]

    def work() -> None:
        for _ in range(60):
            of = chance.choice(runs)
            if len(runs) < 8 and chance.random() < 0.2:
                runs.append(a_child(of))
            else:
                told_of(of)
            time.sleep(chance.random() / 100)
        for run in chance.sample(runs, len(runs)):
            end(run)
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    dice, events, place, is_over = random.Random(seed + 100), [], "", False  # noqa: S311  As above.
    while not is_over:
        headers = reads | ({"Last-Event-ID": place} if place else {})
        with server.reading(tree(root), headers) as reader:
            for _ in range(dice.randint(1, 20)):
                event = reader.events.get(timeout=PATIENCE)
                is_over = event is None
                if event is None:
                    break
                events.append(event)
                place = event.id
    worker.join()
    assert seen(events) == rows_of(*runs)


def test_a_child_is_found_without_its_parents_event(
    server: Server, root: Execution, reads: dict[str, str]
) -> None:
    with server.reading(tree(root), reads) as reader:
        reader.take(1)
        child = a_run(an_agent(root.organization), {"say": "x"})
        Execution.objects.filter(pk=child.pk).update(parent=root)
        assert seen(reader.take(1)) == rows_of(child)


def test_a_reader_that_falls_behind_misses_no_child(
    server: Server, root: Execution, reads: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "ROOM", 1)
    with server.reading(tree(root), reads) as reader:
        runs = [root]
        for number in range(60):
            with transaction.atomic():
                if number % 10 == 0:
                    runs.append(a_child(runs[-1]))
                for _ in range(5):
                    told_of(runs[-1])
        for run in runs:
            end(run)
        assert seen(reader.rest()) == rows_of(*runs)


def test_who_comes_later_knows_the_children_that_others_know(
    server: Server, root: Execution, reads: dict[str, str]
) -> None:
    with server.reading(tree(root), reads) as first:
        child = a_child(root)
        first.take(3)
        with server.reading(tree(root), reads) as second:
            second.take(3)
            end(child)
            end(root)
            assert seen(first.rest()) == seen(second.rest())


def test_a_run_with_children_is_streamed_to_the_end(server: Server) -> None:
    run = begun("example.map_reduce", {"numbers": list(range(6)), "share": 2})
    with server.reading(tree(run), reading_key(run.organization)) as reader:
        drive(run)
        children = list(Execution.objects.filter(parent=run))
        for child in children:
            drive(child)
        drive(run)
        events = reader.rest()
    assert seen(events) == rows_of(run, *children)
    assert len(children) == 3


def test_other_executions_are_not_in_it(
    server: Server, root: Execution, reads: dict[str, str]
) -> None:
    child, beside = a_child(root), a_run(an_agent(root.organization), {"say": "x"})
    with server.reading(tree(child), reads) as reader:
        reader.take(1)
        told_of(root)
        told_of(beside)
        told_of(child)
        assert seen(reader.take(1)) == {child.id: [rows_of(child)[child.id][-1]]}
        assert reader.is_silent(0.5)


@pytest.mark.parametrize("seq", [1, 127, 128, 16384, 2**31 - 1])
def test_a_cursor_says_what_was_reached(seq: int) -> None:
    ids = [UUID(int=number + (number << 64)) for number in range(1, 4)]
    reached = cursor.Cursor()
    assert cursor.parse(str(reached)) == {}
    for each in ids:
        reached.reach(each, 1)
        reached.reach(each, seq)
    assert cursor.parse(str(reached)) == {cursor.key(each): seq for each in ids}
    # A part of it is no cursor, unless it is cut between two executions.
    text = str(reached)
    with pytest.raises(ValueError):  # noqa: PT011  Whatever it says.
        cursor.parse(text[:-1])


def test_any_text_is_a_cursor_or_refused() -> None:
    chance = random.Random(1)  # noqa: S311  It is to be repeatable.
    for _ in range(2000):
        text = "t" + "".join(chance.choices("AZaz09-_/=", k=chance.randint(0, 40)))
        try:
            place = cursor.parse(text)
        except ValueError:
            continue
        assert all(0 <= seq < 2**31 for seq in place.values())
