"""Failed authentications are limited by address; success and an absent Redis are not."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from agents.models import Organization
from agents.rest import throttle
from tests.agents.rest.callers import client_of, key_of

ADDRESS = "192.0.2.7"
NAME = f"signalbox:auth-failures:{ADDRESS}"


@pytest.fixture(autouse=True)
def _forgotten(db: None) -> Iterator[None]:
    client = throttle._client()
    client.delete(NAME)
    yield
    client.delete(NAME)


def fail(client: Client) -> Any:
    return client.get("/api/v0/echo", REMOTE_ADDR=ADDRESS)


def test_the_21st_failure_in_a_minute_is_told_to_wait() -> None:
    client = client_of("nonsense")

    answers = [fail(client) for _ in range(21)]

    assert [answer.status_code for answer in answers] == [401] * 20 + [429]
    assert answers[-1].json()["code"] == "THROTTLED"
    assert 1 <= int(answers[-1]["Retry-After"]) <= 60


def test_a_good_key_from_a_throttled_address_is_let_in(organization: Organization) -> None:
    throttle._client().set(NAME, 1000, ex=60)

    assert fail(client_of(key_of(organization))).status_code == 200
    assert throttle._client().get(NAME) == "1000"


def test_other_addresses_are_not_affected() -> None:
    throttle._client().set(NAME, 1000, ex=60)

    answer = client_of("nonsense").get("/api/v0/echo", REMOTE_ADDR="192.0.2.8")

    assert answer.status_code == 401


def test_the_count_always_ends() -> None:
    fail(client_of("nonsense"))

    assert 0 < throttle._client().ttl(NAME) <= 60


def test_without_redis_a_failure_is_a_plain_401(
    monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    # Nothing listens on port 1.
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    monkeypatch.setattr(throttle, "_client", throttle._client.__wrapped__)

    assert [fail(client_of("nonsense")).status_code for _ in range(22)] == [401] * 22
