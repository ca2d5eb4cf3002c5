"""The stream of an execution: the same events whenever it is opened, none lost, none twice."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pytest
from django.db import connection, transaction

from agents import redis as hints
from agents.actions import revoke_key
from agents.activity import SYSTEM
from agents.models import Organization, Role
from agents.rest import events as answers
from agents.watching import looks
from executions import actions, event_types, stream
from executions.models import Execution
from executions.watching import news, readers
from tests.executions.carrying import drive
from tests.executions.kinds import begun
from tests.executions.watching_streams import end, one, reading_key, rows_of, seen, told_of
from tests.factories import API, api_client, client_of, make_key, make_organization
from tests.starting import a_run, an_agent
from tests.streaming import PATIENCE, Event, Server, a_server

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _loopback(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["127.0.0.1", "testserver"]


@pytest.fixture
def server() -> Iterator[Server]:
    with a_server() as server:
        yield server


@pytest.fixture
def run(organization: Organization) -> Execution:
    return a_run(an_agent(organization), {"say": "x"})


@pytest.fixture
def reads(organization: Organization) -> dict[str, str]:
    return reading_key(organization)


def seqs(events: list[Event]) -> list[int]:
    return [event.data["seq"] for event in events if event.id]


def test_before_during_and_after_a_run_the_same_events_are_seen(
    server: Server, run: Execution, reads: dict[str, str]
) -> None:
    with server.reading(one(run), reads) as before:
        told_of(run)
        told_of(run, "execution.checkpoint")
        with server.reading(one(run), reads) as during:
            told_of(run)
            end(run)
            found = [before.rest(), during.rest()]
    with server.reading(one(run), reads) as after:
        found.append(after.rest())
    assert [seen(events) for events in found] == [rows_of(run)] * 3
    assert found[0][-1].type == "execution.completed"


def test_events_are_shown_as_the_list_shows_them(
    server: Server, run: Execution, reads: dict[str, str], organization: Organization
) -> None:
    end(run)
    with server.reading(one(run), reads) as reader:
        events = reader.rest()
    listed = client_of(organization).get(f"{API}/executions/agents/{run.id}/events").json()
    assert [event.data for event in events] == [
        {"exec_id": str(run.id), **row} for row in listed["results"]
    ]
    assert [event.id for event in events] == [str(row["seq"]) for row in listed["results"]]


@pytest.mark.parametrize("seed", range(6))
def test_whoever_disconnects_at_random_loses_nothing_and_reads_nothing_twice(
    server: Server, run: Execution, reads: dict[str, str], seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  It is to be repeatable.

    def work() -> None:
        for _ in range(60):
            told_of(run)
            time.sleep(chance.random() / 200)
        end(run)
        connection.close()

    worker = threading.Thread(target=work)
    worker.start()
    events: list[Event] = []
    while not events or events[-1].type not in event_types.ENDS:
        place = events[-1].id if events else "0"
        is_header = chance.random() < 0.5
        path = one(run) if is_header else one(run, f"?after={place}")
        headers = reads | ({"Last-Event-ID": place} if is_header else {})
        with server.reading(path, headers) as reader:
            for _ in range(chance.randint(1, 25)):
                event = reader.events.get(timeout=PATIENCE)
                if event is None:
                    break
                events.append(event)
    worker.join()
    assert seen(events) == rows_of(run)


def test_a_history_of_many_pages_is_read_in_order(
    server: Server, run: Execution, reads: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(news, "PAGE", 20)
    for _ in range(65):
        told_of(run)
    end(run)
    with server.reading(one(run), reads) as reader:
        assert seen(reader.rest()) == rows_of(run)


def test_only_the_types_that_are_asked_for_come(
    server: Server, run: Execution, reads: dict[str, str]
) -> None:
    with server.reading(one(run, "?events=execution.checkpoint,token"), reads) as reader:
        told_of(run)
        told_of(run, "execution.checkpoint")
        assert [event.id for event in reader.take(1)] == ["3" if run.event_seq == 3 else "?"]
        stream.publish_tokens(run.id, "thinking", "hm", 1)
        stream.publish_tokens(run.id, "text", "word", 1)
        assert reader.next().type == "token"
        end(run)
        assert reader.rest() == []
        # Whoever reconnects goes on after the last event.
        assert reader.place == str(run.event_seq + 2)


def test_a_stream_that_is_over_ends_at_once(
    server: Server, run: Execution, reads: dict[str, str]
) -> None:
    end(run)
    last = max(seqs_of_rows(run))
    for after in (last, last + 100):
        with server.reading(one(run, f"?after={after}"), reads) as reader:
            assert reader.rest() == []


def seqs_of_rows(run: Execution) -> list[int]:
    return [seq for seq, _ in rows_of(run)[run.id]]


def test_a_place_beyond_the_end_takes_nothing_from_others(
    server: Server, run: Execution, reads: dict[str, str]
) -> None:
    with (
        server.reading(one(run, "?after=2147483647"), reads) as ahead,
        server.reading(one(run), reads) as other,
    ):
        other.take(1)
        told_of(run)
        assert seqs(other.take(1)) == seqs(ahead.take(1)) == [run.event_seq]


def test_what_is_shown_meanwhile_has_no_id_and_keeps_its_order(
    server: Server, run: Execution, reads: dict[str, str]
) -> None:
    with server.reading(one(run), reads) as reader:
        reader.take(1)
        assert reader.is_silent(0.5)
        stream.publish_tokens(run.id, "text", "Hel", 1, attempt=1)
        stream.publish_tokens(run.id, "reset", "", 1, attempt=1)
        stream.publish_tokens(run.id, "thinking", "hm", 1)
        stream.publish_piece(run.id, "progress", {"text": "half"}, 1)
        stream.publish_piece(run.id, "nonsense", {}, 1)
        told_of(run)
        stream.publish_tokens(run.id, "text", "next", 2)
        shown = reader.take(6)
    mine = {"exec_id": str(run.id)}
    assert [(event.type, event.data) for event in shown[:4]] == [
        ("token", mine | {"turn": 1, "attempt": 1, "text": "Hel"}),
        ("reset", mine | {"turn": 1, "attempt": 1}),
        ("thinking", mine | {"turn": 1, "text": "hm"}),
        ("progress", mine | {"turn": 1, "data": {"text": "half"}}),
    ]
    assert [event.type for event in shown[4:]] == ["execution.turn", "token"]
    assert not any(event.id for event in (*shown[:4], shown[5]))


def test_an_agents_own_code_is_streamed(server: Server) -> None:
    run = begun("example.streaming", {"lines": ["one two", "three"]})
    with server.reading(one(run), reading_key(run.organization)) as reader:
        reader.take(1)
        assert reader.is_silent(0.5)
        drive(run)
        events = reader.rest()
    assert seen(events)[run.id] == rows_of(run)[run.id][1:]
    text = "".join(event.data["text"] for event in events if event.type == "token")
    assert text == "one two three "
    assert [e.data["data"] for e in events if e.type == "data"] == [{"lines": 2}]


def test_every_type_that_a_run_writes_can_be_asked_for() -> None:
    run = begun("example.map_reduce", {"numbers": [1, 2, 3], "share": 2})
    drive(run)
    for child in Execution.objects.filter(parent=run):
        drive(child)
    drive(run)
    actions.cancel(a_run(an_agent(), {"say": "x"}), by=SYSTEM, reason="", is_hard=False)
    written = {kind for rows in rows_of(*Execution.objects.all()).values() for _, kind in rows}
    assert written <= event_types.NUMBERED
    assert written & event_types.ENDS == {"execution.completed", "execution.cancelled"}


def test_what_a_stream_cannot_be_asked_for(organization: Organization, run: Execution) -> None:
    stranger = a_run(an_agent(), {"say": "x"})
    viewer = client_of(organization, Role.VIEWER)
    refusals = {
        one(run, "?events=execution.turn,task.created"): (400, "UNKNOWN_EVENTS"),
        one(run, "?events="): (400, "UNKNOWN_EVENTS"),
        one(run, "?after=-1"): (400, "PLACE_INVALID"),
        one(run, "?after=2147483648"): (400, "PLACE_INVALID"),
        one(run, "?after=tAAAA"): (400, "PLACE_INVALID"),
        one(run, "?colour=red"): (400, "UNKNOWN_PARAMETER"),
        one(run, "/consolidated?after=3"): (400, "PLACE_INVALID"),
        one(run, "/consolidated?after=tAAAA"): (400, "PLACE_INVALID"),
        one(stranger): (404, "NOT_FOUND"),
        one(stranger, "/consolidated"): (404, "NOT_FOUND"),
    }
    for path, expected in refusals.items():
        answer = viewer.get(API + path)
        assert (answer.status_code, answer.json()["code"]) == expected, path
    assert viewer.post(API + one(run)).status_code == 405
    assert api_client().get(API + one(run)).status_code == 401
    scoped = client_of(organization, Role.OPERATOR, "run")
    assert scoped.get(API + one(run)).json()["code"] == "SCOPE_MISSING"


def test_a_revoked_key_ends_its_stream(
    server: Server, organization: Organization, run: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "BEAT_SECONDS", 0.2)
    key, secret = make_key(organization, Role.VIEWER)
    with server.reading(one(run), {"Authorization": f"Bearer {secret}"}) as reader:
        reader.take(1)
        assert reader.is_silent(1)
        revoke_key(key, by=SYSTEM)
        assert reader.ends()


def test_lost_hints_cost_about_a_second(
    server: Server, run: Execution, reads: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with server.reading(one(run), reads) as reader:
        reader.take(1)
        assert reader.is_silent(0.5)
        monkeypatch.setattr(hints, "publish", lambda channel, hint: None)
        begun_at = time.monotonic()
        seq = told_of(run)
        assert seqs(reader.take(1)) == [seq]
        assert time.monotonic() - begun_at < 3
        end(run)
        assert reader.rest()[-1].type == "execution.completed"


def test_events_come_by_a_hint_alone_and_without_redis(
    server: Server,
    run: Execution,
    reads: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(looks, "SAFETY_NET_SECONDS", 3600)
        with server.reading(one(run), reads) as reader:
            reader.take(1)
            # What the subscription itself makes it look for must be over.
            assert reader.is_silent(1)
            seq = told_of(run)
            assert seqs(reader.take(1)) == [seq]
    parts = urlsplit(settings.REDIS_URL)
    settings.REDIS_URL = urlunsplit(parts._replace(scheme="redis", netloc="127.0.0.1:1"))
    with a_server() as other, other.reading(one(run, f"?after={seq}"), reads) as reader:
        seq = told_of(run)
        assert seqs(reader.take(1)) == [seq]


def test_a_subscription_that_is_made_anew_makes_its_listeners_read(
    server: Server, run: Execution, reads: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "SAFETY_NET_SECONDS", 3600)
    with server.reading(one(run), reads) as reader:
        reader.take(1)
        assert reader.is_silent(1)
        with monkeypatch.context() as patched:
            # It happens while nobody listens.
            patched.setattr(hints, "publish", lambda channel, hint: None)
            lost = told_of(run)
        assert reader.is_silent(1)
        hints.client().client_kill_filter(_type="pubsub")
        assert seqs(reader.take(1)) == [lost]
        heard = told_of(run)
        assert seqs(reader.take(1)) == [heard]


def test_a_reader_that_falls_behind_reads_on_at_its_own_pace(
    server: Server, run: Execution, reads: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "ROOM", 4)
    with server.reading(one(run), reads) as reader:
        reader.take(1)
        for _ in range(5):
            with transaction.atomic():
                for _ in range(30):
                    told_of(run)
            told_of(run)
        end(run)
        assert seen(reader.rest())[run.id] == rows_of(run)[run.id][1:]


def test_a_slow_reader_does_not_slow_others_and_is_told_what_it_missed(
    server: Server, run: Execution, reads: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readers, "ROOM", 20)
    big = "x" * 30_000
    with server.stalled(one(run), reads) as slow, server.reading(one(run), reads) as quick:
        quick.take(1)
        for number in range(400):
            stream.publish_tokens(run.id, "text", big, 1)
            if number % 8 == 0:
                seq, told_at = told_of(run), time.monotonic()
                while quick.next().data.get("seq") != seq:
                    pass
                assert time.monotonic() - told_at < 5
        end(run)
        quick.rest()
        events = slow.read_on()
    assert seen(events) == rows_of(run)
    assert sum(event.type == "token" for event in events) < 400
    reload, *_ = [event for event in events if event.type == "reload"]
    assert 0 < int(reload.data["after"]) <= seqs_of_rows(run)[-1]


def test_many_streams_share_threads_and_looks(
    server: Server, run: Execution, reads: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = [run, *(a_run(an_agent(run.organization), {"say": "x"}) for _ in range(9))]
    before = threading.active_count()
    with ExitStack() as stack:
        opened = [
            stack.enter_context(server.reading(one(runs[number % 10]), reads))
            for number in range(40)
        ]
        for reader in opened:
            reader.take(1)
        # Each reader has a thread in this test; the server has few.
        assert threading.active_count() - before - len(opened) < 12
        looked: list[int] = []
        monkeypatch.setattr(news, "read", _counting(looked))
        time.sleep(2.5)
        # One look a second for all ten.
        assert set(looked) == {10}
        assert len(looked) in (2, 3)
        seqs_told = [told_of(each) for each in runs]
        for number, reader in enumerate(opened):
            assert seqs(reader.take(1)) == [seqs_told[number % 10]]


def _counting(looked: list[int]) -> Any:
    read = news.read

    def counted(reached: Any, *more: Any) -> Any:
        looked.append(len(reached))
        return read(reached, *more)

    return counted


def test_organizations_do_not_hear_each_other(
    server: Server, run: Execution, reads: dict[str, str]
) -> None:
    stranger = a_run(an_agent(make_organization()), {"say": "x"})
    with server.reading(one(run), reads) as reader:
        reader.take(1)
        told_of(stranger)
        assert reader.is_silent(1.5)
