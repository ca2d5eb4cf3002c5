"""Streams of the permanent record: in the order of commits, nothing skipped, nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection, transaction

from agents import activity
from agents.actions import revoke_key
from agents.activity import SYSTEM, Target
from agents.models import Activity, Organization, Role
from agents.redis import client
from agents.rest import events
from agents.watching import feed, looks
from agents.watching.places import Place
from tests.factories import (
    API,
    api_client,
    client_of,
    make_agent,
    make_board,
    make_key,
    make_organization,
)
from tests.processes import wait_until
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
def organization() -> Organization:
    return make_organization()


@pytest.fixture
def reads(organization: Organization) -> dict[str, str]:
    return bearer(make_key(organization, Role.VIEWER)[1])


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def write(organization: Organization, number: int = 0, **about: Any) -> Activity:
    target = Target(**about)
    return activity.record(organization.id, "task.created", by=SYSTEM, target=target, n=number)


def numbers(events: list[Any]) -> list[int]:
    return [event.data["data"]["n"] for event in events]


def test_what_is_committed_is_streamed_as_the_list_shows_it(
    server: Server, organization: Organization, reads: dict[str, str]
) -> None:
    write(organization, -1)
    with server.reading("/stream", reads) as reader:
        row = write(organization, 1)
        event = reader.next()
    assert (event.type, event.data["id"]) == ("task.created", str(row.id))
    shown = client_of(organization).get(f"{API}/activity?type=task.created").json()["results"]
    assert event.data == shown[0]


def test_a_line_waits_for_every_older_transaction(
    server: Server, organization: Organization, reads: dict[str, str]
) -> None:
    written, go_on = threading.Event(), threading.Event()

    def slowly() -> None:
        with transaction.atomic():
            write(organization, 1)
            written.set()
            go_on.wait(20)
        connection.close()

    with server.reading("/stream", reads) as reader:
        older = threading.Thread(target=slowly)
        older.start()
        assert written.wait(10)
        write(organization, 2)
        waits = reader.is_silent()
        go_on.set()
        assert numbers(reader.take(2)) == [1, 2]
        older.join(10)
    assert waits


@pytest.mark.parametrize("by", ["header", "parameter"])
def test_resuming_skips_nothing_and_repeats_nothing(
    server: Server, organization: Organization, reads: dict[str, str], by: str
) -> None:
    with server.reading("/stream", reads) as reader:
        place = reader.place
    for number in range(2 * feed.PAGE + 10):
        write(organization, number)
    seen: list[int] = []
    while len(seen) < 2 * feed.PAGE + 10:
        path = f"/stream?after={place}" if by == "parameter" else "/stream"
        headers = {"Last-Event-ID": place} if by == "header" else {}
        with server.reading(path, reads | headers) as reader:
            for event in reader.take(min(150, 2 * feed.PAGE + 10 - len(seen))):
                seen += numbers([event])
                place = event.id
    assert seen == list(range(2 * feed.PAGE + 10))


def test_a_reader_that_falls_behind_reads_on_at_its_own_pace(
    server: Server,
    organization: Organization,
    reads: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(feed, "ROOM", 3)
    with server.reading("/stream", reads) as reader:
        with transaction.atomic():
            for number in range(300):
                write(organization, number)
        for number in range(300, 320):
            write(organization, number)
        assert numbers(reader.take(320)) == list(range(320))
        assert reader.is_silent(0.5)


def test_each_stream_has_its_own_lines(server: Server, organization: Organization) -> None:
    board, agent, stranger = make_board(organization), make_agent(organization), make_organization()
    key = bearer(make_key(organization, Role.VIEWER)[1])
    with (
        server.reading("/stream", key) as whole,
        server.reading(f"/boards/{board.id}/stream", key) as of_board,
        server.reading(f"/agents/{agent.slug}/stream", key) as of_agent,
        server.reading("/stream?events=task.moved,task.deleted", key) as of_types,
    ):
        write(stranger, 0, board_id=board.id, agent_id=agent.id)
        write(organization, 1)
        write(organization, 2, board_id=board.id)
        write(organization, 3, agent_id=agent.id)
        activity.record(organization.id, "task.moved", by=SYSTEM, n=4)
        assert numbers(whole.take(4)) == [1, 2, 3, 4]
        assert numbers(of_board.take(1)) == [2]
        assert numbers(of_agent.take(1)) == [3]
        assert numbers(of_types.take(1)) == [4]
        assert all(each.is_silent(0.3) for each in (whole, of_board, of_agent, of_types))


def test_what_a_stream_cannot_be_asked_for(organization: Organization) -> None:
    board, stranger = make_board(make_organization()), make_agent(make_organization())
    viewer = client_of(organization, Role.VIEWER)
    refusals = {
        "/stream?events=task.created,nonsense": (400, "UNKNOWN_EVENTS"),
        "/stream?events=": (400, "UNKNOWN_EVENTS"),
        "/stream?after=1": (400, "PLACE_INVALID"),
        "/stream?after=": (400, "PLACE_INVALID"),
        f"/stream?after={'f' * 16}-{'0' * 32}": (400, "PLACE_INVALID"),
        "/stream?colour=red": (400, "UNKNOWN_PARAMETER"),
        f"/boards/{board.id}/stream": (404, "BOARD_NOT_FOUND"),
        f"/agents/{stranger.id}/stream": (404, "AGENT_NOT_FOUND"),
    }
    for path, expected in refusals.items():
        answer = viewer.get(API + path)
        assert (answer.status_code, answer.json()["code"]) == expected, path
    assert viewer.post(f"{API}/stream").status_code == 405
    assert api_client().get(f"{API}/stream").status_code == 401
    scoped = client_of(organization, Role.OPERATOR, "run")
    assert scoped.get(f"{API}/stream").json()["code"] == "SCOPE_MISSING"


def test_a_revoked_key_ends_its_stream(
    server: Server, organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "BEAT_SECONDS", 0.2)
    key, secret = make_key(organization, Role.VIEWER)
    with server.reading("/stream", bearer(secret)) as reader:
        assert reader.is_silent(1)
        revoke_key(key, by=SYSTEM)
        types = []
        while not types or types[-1] is not None:
            event = reader.events.get(timeout=PATIENCE)
            types.append(event and event.type)
    assert set(types) <= {"key.revoked", None}


def test_lines_come_without_redis_too(
    server: Server, organization: Organization, reads: dict[str, str], settings: Any
) -> None:
    parts = urlsplit(settings.REDIS_URL)
    settings.REDIS_URL = urlunsplit(parts._replace(scheme="redis", netloc="127.0.0.1:1"))
    with server.reading("/stream", reads) as reader:
        write(organization, 1)
        assert numbers(reader.take(1)) == [1]


def test_lines_come_at_once_by_a_hint(
    server: Server,
    organization: Organization,
    reads: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(looks, "SAFETY_NET_SECONDS", 3600)
    with server.reading("/stream", reads) as reader:
        # What the subscription itself makes it look for must be over.
        assert reader.is_silent(1)
        write(organization, 1)
        assert numbers(reader.take(1)) == [1]


def test_many_streams_share_threads_and_looks(
    server: Server, organization: Organization, reads: dict[str, str]
) -> None:
    before = threading.active_count()
    readers, stack = [], []
    for _ in range(40):
        opening = server.reading("/stream", reads)
        readers.append(opening.__enter__())
        stack.append(opening)
    try:
        # Each reader has a thread in this test; the server has few.
        assert threading.active_count() - before - len(readers) < 12
        write(organization, 1)
        assert [numbers(reader.take(1)) for reader in readers] == [[1]] * 40
    finally:
        for opening in stack:
            opening.__exit__(None, None, None)


def test_a_reader_that_goes_away_leaves_nothing_behind(
    server: Server, organization: Organization, reads: dict[str, str]
) -> None:
    channel = activity.channel(organization.id)

    def listeners() -> int:
        return int(client().pubsub_numsub(channel)[0][1])

    with server.reading("/stream", reads), server.reading("/stream", reads):
        wait_until(lambda: listeners() == 1)
    wait_until(lambda: listeners() == 0)


def test_a_silent_stream_still_says_how_far_it_has_come(
    server: Server,
    organization: Organization,
    reads: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events, "BEAT_SECONDS", 0.2)
    with server.reading("/stream?events=task.moved", reads) as reader:
        row = write(organization, 1)
        row.refresh_from_db()
        wait_until(lambda: Place.parse(reader.place) > Place(row.xact, row.id), seconds=PATIENCE)
        assert reader.is_silent(0.1)
        activity.record(organization.id, "task.moved", by=SYSTEM, n=2)
        assert numbers(reader.take(1)) == [2]


def test_a_transaction_tells_of_its_lines_once(
    organization: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(activity, "publish", lambda channel, hint: told.append(channel))
    stranger = make_organization()
    told.clear()

    def undone() -> None:
        with transaction.atomic():
            write(stranger, 3)
            raise ValueError("undone")

    with transaction.atomic():
        write(organization, 1)
        write(organization, 2)
        with pytest.raises(ValueError, match="undone"):
            undone()
        assert told == []
    assert told == [activity.channel(organization.id)]


def test_a_type_that_no_app_declares_is_a_mistake(organization: Organization) -> None:
    with pytest.raises(AssertionError, match="activity_types"):
        activity.record(organization.id, "task.vanished", by=SYSTEM)
