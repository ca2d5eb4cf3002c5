"""Passwords cannot be guessed: each address is wrong only so often a minute."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate
from django.contrib.auth.backends import ModelBackend
from django.test import Client, RequestFactory

from agents.models import User
from agents.rest import rates
from agents.rest.refusals import LoginThrottled
from tests.agents.rest.rate_rows import age, counted, take_redis_away
from tests.factories import all_at_once

pytestmark = pytest.mark.django_db

LOGIN = "/admin/login/"


@pytest.fixture(autouse=True)
def _three_a_minute(settings: Any) -> Iterator[None]:
    settings.SIGNALBOX_FAILED_LOGINS_A_MINUTE = 3
    settings.ROOT_URLCONF = "config.urls"
    yield
    rates._door.cache_clear()


@pytest.fixture(autouse=True)
def root(db: None) -> User:
    return User.objects.create_superuser("root", password="right")


def sign_in(word: str = "wrong", address: str = "192.0.2.1", **more: Any) -> Any:
    body = {"username": "root", "password": word}
    return Client(raise_request_exception=False).post(LOGIN, body, REMOTE_ADDR=address, **more)


def statuses(times: int, **more: Any) -> list[int]:
    return [sign_in(**more).status_code for _ in range(times)]


def test_after_so_many_wrong_passwords_the_address_has_to_wait() -> None:
    assert statuses(3) == [200] * 3

    answer = sign_in("right")
    assert answer.status_code == 429
    assert 1 <= int(answer["Retry-After"]) <= 61
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert b"Too many wrong passwords" in answer.content
    age(int(answer["Retry-After"]))
    assert sign_in("right").status_code == 302


def test_right_passwords_are_not_counted() -> None:
    assert statuses(8, word="right") == [302] * 8
    assert counted("failed-logins") == 0


def test_a_right_password_does_not_make_up_for_wrong_ones() -> None:
    assert statuses(2) + statuses(2, word="right") == [200, 200, 302, 302]
    assert statuses(2) == [200, 429]


def test_another_address_is_not_affected() -> None:
    assert statuses(4)[-1] == 429
    assert sign_in("right", address="192.0.2.2").status_code == 302


def test_a_header_that_nobody_vouches_for_makes_no_new_address() -> None:
    answers = [sign_in(HTTP_X_FORWARDED_FOR=f"198.51.100.{n}").status_code for n in range(4)]

    assert answers == [200] * 3 + [429]


def test_behind_a_trusted_proxy_what_stands_further_left_makes_none_either(settings: Any) -> None:
    settings.SIGNALBOX_TRUSTED_PROXIES = 1
    answers = [
        sign_in(HTTP_X_FORWARDED_FOR=f"198.51.100.{n}, 203.0.113.1").status_code for n in range(4)
    ]

    assert answers == [200] * 3 + [429]
    assert sign_in("right", HTTP_X_FORWARDED_FOR="203.0.113.2").status_code == 302


@pytest.mark.django_db(transaction=True)
def test_many_guesses_at_once_are_no_more_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []

    def guess() -> Any:
        request = RequestFactory().post(LOGIN, REMOTE_ADDR="192.0.2.1")
        return authenticate(request, username="root", password="wrong")

    monkeypatch.setattr(ModelBackend, "authenticate", lambda *_, **__: looked_at.append(1))
    answers = all_at_once(*[guess] * 8)

    assert len(looked_at) == 3
    assert len([answer for answer in answers if isinstance(answer, LoginThrottled)]) == 5


def test_an_async_view_cannot_go_round_it() -> None:
    request = RequestFactory().post(LOGIN, REMOTE_ADDR="192.0.2.1")

    async def guess() -> None:
        for _ in range(4):
            await aauthenticate(request, username="root", password="wrong")

    with pytest.raises(LoginThrottled):
        async_to_sync(guess)()
    assert counted("failed-logins") == 3


def test_what_comes_from_no_address_is_not_counted(root: User) -> None:
    for _ in range(5):
        assert authenticate(username="root", password="wrong") is None
    assert authenticate(username="root", password="right") == root


def test_without_a_limit_nobody_waits(settings: Any) -> None:
    settings.SIGNALBOX_FAILED_LOGINS_A_MINUTE = 0

    assert statuses(6) == [200] * 6


def test_each_process_goes_on_counting_while_redis_is_away(settings: Any) -> None:
    take_redis_away(settings)

    assert statuses(4, word="right") + statuses(4) == [302] * 4 + [200] * 3 + [429]
    assert sign_in("right").status_code == 429
    assert sign_in("right", address="192.0.2.2").status_code == 302
