"""A start with the same key, sent or derived from the body, starts one execution."""

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from agents.models import IdempotencyKey, LiveWork
from agents.rest import idempotency
from agents.rest.idempotency import Scope, start_once
from agents.rest.refusals import IdempotencyInFlight, IdempotencyMismatch

SCOPE = Scope("key:1@2", "POST", "/x", "k", "digest")


def begin() -> UUID:
    return LiveWork.objects.create(execution_id=uuid4()).execution_id


def start(client: Client, body: Any, key: str | None = None) -> Any:
    headers = {"Idempotency-Key": key} if key else {}
    return client.post("/api/v0/mixed", body, "application/json", headers=headers).json()


def test_a_repeat_attaches(db: None) -> None:
    first, was_there = start_once(SCOPE, begin)

    assert not was_there
    assert start_once(SCOPE, begin) == (first, True)
    assert LiveWork.objects.count() == 1


def test_another_body_is_a_mismatch_that_names_the_execution(db: None) -> None:
    first, _ = start_once(SCOPE, begin)

    with pytest.raises(IdempotencyMismatch) as refused:
        start_once(Scope("key:1@2", "POST", "/x", "k", "other"), begin)

    assert refused.value.facts == {"exec_id": first}


def test_a_refused_start_leaves_its_key_unused(db: None) -> None:
    def refuse() -> UUID:
        begin()
        raise IdempotencyInFlight

    with pytest.raises(IdempotencyInFlight):
        start_once(SCOPE, refuse)

    assert not LiveWork.objects.exists()
    assert start_once(SCOPE, begin)[1] is False


def test_an_expired_row_is_replaced(db: None) -> None:
    first, _ = start_once(SCOPE, begin, lifetime=timedelta(seconds=5))
    IdempotencyKey.objects.update(expires_at=timezone.now())

    second, was_there = start_once(SCOPE, begin)

    assert (second != first, was_there) == (True, False)
    assert IdempotencyKey.objects.get().execution_id == second


def test_without_a_scope_every_start_is_new(db: None) -> None:
    assert start_once(None, begin)[0] != start_once(None, begin)[0]


def test_a_blind_retry_of_a_start_attaches_for_a_while(api: Client, settings: Any) -> None:
    settings.EXECUTION_DEDUPE_SECONDS = 5
    first = start(api, {"a": 1, "b": 2})

    assert start(api, {"b": 2, "a": 1}) == {**first, "repeated": True}
    assert start(api, {"a": 1})["repeated"] is False
    lifetime = IdempotencyKey.objects.order_by("id")[0].expires_at - timezone.now()
    assert timedelta(0) < lifetime <= timedelta(seconds=5)


def test_the_same_run_twice_is_two_keys(api: Client) -> None:
    first, second = start(api, {}, "one"), start(api, {}, "two")

    assert first["exec_id"] != second["exec_id"]


def test_without_a_time_only_sent_keys_count(api: Client, settings: Any) -> None:
    settings.EXECUTION_DEDUPE_SECONDS = 0

    assert start(api, {})["exec_id"] != start(api, {})["exec_id"]
    assert not IdempotencyKey.objects.exists()
    assert start(api, {}, "k")["exec_id"] == start(api, {}, "k")["exec_id"]


def closing(call: Any) -> Any:
    def closed(*args: Any) -> Any:
        try:
            return call(*args)
        finally:
            connection.close()

    return closed


@pytest.mark.django_db(transaction=True)
def test_of_20_callers_at_once_one_starts_and_all_attach() -> None:
    together = threading.Barrier(20)

    @closing
    def race(_: int) -> tuple[UUID, bool]:
        together.wait()
        return start_once(SCOPE, begin)

    with ThreadPoolExecutor(20) as pool:
        found = list(pool.map(race, range(20)))

    assert LiveWork.objects.count() == 1
    assert {execution for execution, _ in found} == {LiveWork.objects.get().execution_id}
    assert sorted(was_there for _, was_there in found) == [False] + [True] * 19


@pytest.mark.django_db(transaction=True)
def test_waiting_for_a_start_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "LOCK_WAIT", timedelta(milliseconds=50))
    entered, leave = threading.Event(), threading.Event()

    def slow() -> UUID:
        entered.set()
        assert leave.wait(20)
        return begin()

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(closing(start_once), SCOPE, slow)
        assert entered.wait(20)
        with pytest.raises(IdempotencyInFlight):
            start_once(SCOPE, begin)
        leave.set()
        first, _ = running.result()

    assert start_once(SCOPE, begin) == (first, True)


def test_a_start_runs_with_the_lock_timeout_that_was_there(db: None) -> None:
    seen = []

    def look() -> UUID:
        with connection.cursor() as cursor:
            cursor.execute("SHOW lock_timeout")
            seen.append(cursor.fetchone()[0])
        return begin()

    start_once(SCOPE, look)

    assert seen == ["0"]
