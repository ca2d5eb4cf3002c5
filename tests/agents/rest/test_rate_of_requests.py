"""Each caller has so many requests a minute, whatever they ask and whatever others do."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, Organization, User
from agents.rest import rates
from tests.agents.rest.callers import client_of, key_of, token_of
from tests.agents.rest.rate_rows import NOWHERE, Trips, age, counted, take_redis_away

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _three_a_minute(settings: Any) -> Iterator[None]:
    settings.SIGNALBOX_REQUESTS_A_MINUTE = 3
    yield
    rates._door.cache_clear()


def ask(caller: Client, times: int = 1, path: str = "/api/v0/echo", **more: Any) -> list[int]:
    return [caller.get(path, **more).status_code for _ in range(times)]


def test_one_request_too_many_is_told_how_long_to_wait(api: Client) -> None:
    assert ask(api, 3) == [200] * 3

    answer = api.get("/api/v0/echo")
    problem = answer.json()
    assert answer.status_code == 429
    assert answer["Content-Type"] == "application/problem+json"
    assert (problem["code"], problem["retryable"], problem["limit"]) == ("THROTTLED", True, 3)
    assert answer["Retry-After"] == str(problem["retry_after"])
    age(problem["retry_after"])
    assert ask(api, 4) == [200] * 3 + [429]


def test_every_caller_has_a_count_of_its_own(organization: Organization, agent: Agent) -> None:
    keys = [client_of(key_of(organization)), client_of(key_of(organization))]
    tokens = [client_of(token_of(agent))]

    for caller in keys:
        assert ask(caller, 4) == [200] * 3 + [429]
    for caller in tokens:
        # These views are closed to agents.
        assert ask(caller, 4, "/api/v0/anywhere") == [403] * 3 + [429]


def test_all_sessions_of_a_person_are_one_caller(ann: User) -> None:
    desk, phone = Client(), Client()
    desk.force_login(ann)
    phone.force_login(ann)

    assert ask(desk, 2) + ask(phone, 2) == [200, 200, 200, 429]


def test_who_says_nothing_is_counted_by_address() -> None:
    assert ask(Client(), 4, REMOTE_ADDR="192.0.2.1") == [401] * 3 + [429]
    assert ask(Client(), 4, REMOTE_ADDR="192.0.2.2") == [401] * 3 + [429]
    assert counted("failed-tokens") == 0


def test_a_plain_view_counts_too(api: Client) -> None:
    body = {"steps": [1], "title": "a"}
    answers = [api.post("/api/v0/plain", body, "application/json").status_code for _ in range(5)]

    assert answers[3:] == [429, 429]
    assert 429 not in answers[:3]


def test_a_wrong_secret_neither_spends_nor_gives_back_anybodys_requests(agent: Agent) -> None:
    secret = token_of(agent)
    right, wrong = client_of(secret), client_of(secret[:-6] + "AAAAAA")

    # These views are closed to agents.
    assert ask(wrong, 4, "/api/v0/anywhere") == [401] * 4
    assert ask(right, 2, "/api/v0/anywhere") == [403] * 2
    assert ask(wrong, 1, "/api/v0/anywhere") == [401]
    assert ask(right, 2, "/api/v0/anywhere") == [403, 429]


def test_a_refused_post_does_not_burn_its_key_and_a_repeat_counts(api: Client) -> None:
    def create(key: str, slug: str) -> Any:
        body = {"name": "New", "slug": slug}
        return api.post(
            "/api/v0/agents", body, "application/json", headers={"Idempotency-Key": key}
        )

    first, again = create("a", "a"), create("a", "a")
    assert (first.status_code, again.status_code) == (201, 201)
    assert again["Idempotency-Replayed"] == "true"
    ask(api)
    assert create("b", "b").status_code == create("a", "a").status_code == 429
    assert Agent.objects.count() == 1

    age(61)
    created = create("b", "b")
    assert created.status_code == 201
    assert "Idempotency-Replayed" not in created
    assert create("a", "a")["Idempotency-Replayed"] == "true"


def test_without_a_limit_nobody_is_refused(settings: Any, api: Client, ann: User) -> None:
    settings.SIGNALBOX_REQUESTS_A_MINUTE = 0
    person = Client()
    person.force_login(ann)

    assert ask(api, 8) + ask(person, 8) == [200] * 16
    assert ask(Client(), 8) == [401] * 8


def test_a_request_costs_one_round_trip_and_no_query(
    monkeypatch: pytest.MonkeyPatch, organization: Organization
) -> None:
    caller = client_of(key_of(organization, last_used_at=timezone.now()))
    ask(caller)
    trips = Trips(monkeypatch)
    with CaptureQueriesContext(connection) as queries:
        assert ask(caller) == [200]

    assert len(trips.commands) == 1
    assert len(queries) == 1


# --- without Redis -----------------------------------------------------------------------------


def test_while_redis_is_away_nobody_is_refused_and_the_log_hears_it_once(
    settings: Any, organization: Organization, ann: User, caplog: pytest.LogCaptureFixture
) -> None:
    take_redis_away(settings)
    person = Client()
    person.force_login(ann)
    with caplog.at_level(logging.WARNING, logger="agents.rest.breaker"):
        assert ask(client_of(key_of(organization)), 8) == [200] * 8
        # As if a while had passed, so that one of the next asks Redis again.
        rates._door(NOWHERE).breaker._next_try = 0.0
        assert ask(person, 8) == [200] * 8

    assert len([r for r in caplog.records if r.name == "agents.rest.breaker"]) == 1
    assert "Redis is out of reach" in caplog.text


def test_a_redis_that_never_answers_is_waited_for_once(
    settings: Any, monkeypatch: pytest.MonkeyPatch, organization: Organization
) -> None:
    caller = client_of(key_of(organization))
    monkeypatch.setattr(rates, "_TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        take_redis_away(settings, f"redis://127.0.0.1:{silent.getsockname()[1]}/0")
        trips = Trips(monkeypatch)
        assert ask(caller, 10) == [200] * 10

    assert len(trips.commands) == 1


def test_a_redis_that_is_back_counts_again(
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    api: Client,
    caplog: pytest.LogCaptureFixture,
) -> None:
    breaker = rates._door(settings.REDIS_URL).breaker
    breaker.note_failure(OSError("away"))
    assert ask(api, 5) == [200] * 5

    monkeypatch.setattr(breaker, "_next_try", 0.0)
    with caplog.at_level(logging.WARNING, logger="agents.rest.breaker"):
        assert ask(api, 4) == [200] * 3 + [429]
    assert "answers again" in caplog.text
