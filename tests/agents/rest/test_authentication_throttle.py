"""Failed authentications are limited by address; who has a good token is let in."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.utils import timezone

from agents import redis
from agents.models import Agent, IntegrationKey, Organization
from agents.rest import rates, throttle
from agents.rest.rates import Count
from tests.agents.rest.callers import client_of, key_of, token_of
from tests.agents.rest.rate_rows import age, counted, take_redis_away

pytestmark = pytest.mark.django_db

ADDRESS = "192.0.2.7"
# What looks like a key and is none, so that it would be looked up.
UNKNOWN = "sbk_0123456789abcdef_" + "A" * 43


def ask(caller: Client, address: str = ADDRESS) -> Any:
    return caller.get("/api/v0/echo", REMOTE_ADDR=address)


def fail(times: int = 1, address: str = ADDRESS) -> list[int]:
    return [ask(client_of("nonsense"), address).status_code for _ in range(times)]


def fail_far_too_often() -> None:
    for _ in range(200):
        rates.note(Count(throttle._failures(), ADDRESS))


def test_a_good_key_in_the_header_of_agents_does_not_begin_its_count_anew(
    organization: Organization, settings: Any
) -> None:
    settings.SIGNALBOX_REQUESTS_A_MINUTE = 3
    key = key_of(organization)
    good = client_of(key)
    answers = [ask(good).status_code for _ in range(3)]
    wrong = Client().get("/api/v0/echo", HTTP_X_AGENT_TOKEN=key, REMOTE_ADDR=ADDRESS)
    assert (wrong.status_code, wrong.json()["detail"]) == (
        401,
        "This header takes an agent token.",
    )
    assert [*answers, ask(good).status_code] == [200, 200, 200, 429]


def test_the_21st_failure_in_a_minute_is_told_to_wait() -> None:
    assert fail(20) == [401] * 20

    answer = ask(client_of("nonsense"))
    problem = answer.json()
    assert answer.status_code == 429
    assert answer["Content-Type"] == "application/problem+json"
    assert (problem["code"], problem["retryable"], problem["limit"]) == ("THROTTLED", True, 20)
    assert answer["Retry-After"] == str(problem["retry_after"])
    assert 1 <= problem["retry_after"] <= 61


def test_who_waits_as_long_as_told_is_answered_as_before() -> None:
    fail(20)
    wait = int(ask(client_of("nonsense"))["Retry-After"])
    age(wait)

    assert fail() == [401]


@pytest.mark.django_db(transaction=True)
def test_of_many_failures_at_once_no_more_than_the_limit_are_told_why() -> None:
    def one(_: int) -> int:
        try:
            return int(ask(client_of(UNKNOWN)).status_code)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(40)))

    assert (answers.count(401), answers.count(429)) == (20, 20)


def test_successes_are_not_counted(organization: Organization, agent: Agent) -> None:
    for client in (client_of(key_of(organization)), client_of(token_of(agent))):
        assert {ask(client).status_code for _ in range(30)} <= {200, 403}

    assert counted("failed-tokens") == 0


def test_a_good_key_from_an_address_with_failures_is_let_in(organization: Organization) -> None:
    fail(25)

    assert ask(client_of(key_of(organization))).status_code == 200


def test_however_many_failures_a_good_token_is_let_in_that_was_never_used(
    organization: Organization, agent: Agent
) -> None:
    fail_far_too_often()

    assert ask(client_of(key_of(organization))).status_code == 200
    # These views are closed to agents.
    assert ask(client_of(token_of(agent))).status_code == 403
    assert ask(client_of(UNKNOWN)).status_code == 429


def test_a_token_that_is_no_good_any_more_is_one_of_the_failures(
    organization: Organization,
) -> None:
    client = client_of(key_of(organization))
    ask(client)
    IntegrationKey.objects.update(revoked_at=timezone.now())

    assert ask(client).json()["code"] == "TOKEN_REVOKED"
    fail_far_too_often()
    assert ask(client).status_code == 429


def test_other_addresses_are_not_affected() -> None:
    fail_far_too_often()

    assert fail(address="192.0.2.8") == [401]


def test_without_a_limit_every_failure_is_told_why(settings: Any) -> None:
    settings.SIGNALBOX_FAILED_TOKENS_A_MINUTE = 0

    assert fail(30) == [401] * 30


@pytest.mark.parametrize("limit", [0, 20])
def test_a_wrong_token_leaves_no_count_of_its_requests(settings: Any, limit: int) -> None:
    settings.SIGNALBOX_FAILED_TOKENS_A_MINUTE = limit

    assert ask(client_of(UNKNOWN)).status_code == 401
    assert counted("requests") == 0


def test_each_process_counts_failures_while_redis_is_away(
    settings: Any, organization: Organization
) -> None:
    take_redis_away(settings)

    assert fail(22) == [401] * 20 + [429] * 2
    answer = ask(client_of("nonsense"))
    assert 1 <= int(answer["Retry-After"]) <= 60
    assert fail(address="192.0.2.8") == [401]
    assert ask(client_of(key_of(organization))).status_code == 200


def test_no_secret_is_written_to_redis(organization: Organization) -> None:
    secret = key_of(organization)
    ask(client_of(secret))
    keys = list(redis.client().scan_iter("*"))

    assert keys
    assert not [key for key in keys if secret[-20:] in key]
