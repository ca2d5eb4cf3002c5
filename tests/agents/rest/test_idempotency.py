"""A POST with a key has its effect once, and gives its first answer again."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.utils import timezone

from agents.models import Agent, IdempotencyKey, Organization, Role
from agents.rest.idempotency import prune_expired
from tests.agents.rest.callers import client_of, key_of

BODY = {"name": "New", "slug": "new"}


def create(client: Client, key: str | None = "k", body: Any = BODY, **headers: str) -> Any:
    sent = headers if key is None else {"Idempotency-Key": key, **headers}
    return client.post("/api/v0/agents", body, "application/json", headers=sent)


def test_a_repeat_gets_the_first_answer(api: Client) -> None:
    first, again = create(api), create(api)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again["Location"] == first["Location"]
    assert again["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first
    assert Agent.objects.count() == 1


def test_a_secret_is_shown_once(api: Client) -> None:
    first, again = create(api).json(), create(api).json()

    assert first.pop("token") == "shown once"
    assert again == first
    assert "shown once" not in str(IdempotencyKey.objects.get().response_body)


def test_the_order_of_names_is_no_difference(api: Client) -> None:
    create(api)

    again = create(api, body={"slug": "new", "name": "New"})

    assert again["Idempotency-Replayed"] == "true"


def test_another_body_is_a_mismatch(api: Client) -> None:
    create(api)

    answer = create(api, body={**BODY, "slug": "other"})

    assert (answer.status_code, answer.json()["code"]) == (422, "IDEMPOTENCY_MISMATCH")


def test_the_other_header_is_the_same_one(api: Client) -> None:
    create(api)

    assert create(api, None, **{"X-Idempotency-Key": "k"})["Idempotency-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", "x" * 256, "a\tb", "\u00e9"])
def test_a_key_that_is_none_is_400(api: Client, key: str) -> None:
    answer = api.post("/api/v0/agents", BODY, "application/json", HTTP_IDEMPOTENCY_KEY=key)

    assert (answer.status_code, answer.json()["code"]) == (400, "IDEMPOTENCY_KEY_INVALID")
    assert not Agent.objects.exists()


def test_two_headers_that_differ_are_400(api: Client) -> None:
    assert create(api, "a", **{"X-Idempotency-Key": "b"}).status_code == 400


def test_the_longest_key(api: Client) -> None:
    assert create(api, "x" * 255).status_code == 201


@pytest.mark.parametrize(("name", "status"), [("fail", 500), ("refuse", 409), ("", 422)])
def test_a_request_without_effect_does_not_burn_its_key(
    api: Client, name: str, status: int
) -> None:
    refused = create(api, body={**BODY, "name": name})

    assert refused.status_code == status
    assert not Agent.objects.exists()
    assert create(api).status_code == 201


def test_without_a_key_a_refused_answer_undoes_what_was_written(api: Client) -> None:
    assert create(api, None, {**BODY, "name": "refuse"}).status_code == 409
    assert not Agent.objects.exists()


def test_a_key_belongs_to_its_caller_and_path(api: Client, organization: Organization) -> None:
    create(api)
    other = client_of(key_of(organization, role=Role.OWNER))

    elsewhere = create(other, body={**BODY, "slug": "other"})

    assert elsewhere.status_code == 201
    assert "Idempotency-Replayed" not in elsewhere


def test_after_its_time_a_key_is_new_again(api: Client) -> None:
    create(api)
    Agent.objects.all().delete()
    IdempotencyKey.objects.update(expires_at=timezone.now())

    answer = create(api)

    assert answer.status_code == 201
    assert "Idempotency-Replayed" not in answer
    assert IdempotencyKey.objects.get().expires_at > timezone.now() + timedelta(hours=23)


def test_pruning_removes_only_what_has_expired(api: Client) -> None:
    create(api, "old")
    IdempotencyKey.objects.update(expires_at=timezone.now())
    create(api, "young", {**BODY, "slug": "other"})

    assert prune_expired() == 1
    assert IdempotencyKey.objects.get().key == "young"


@pytest.mark.django_db(transaction=True)
def test_of_20_at_once_one_has_an_effect(api: Client) -> None:
    together = threading.Barrier(20)

    def race(_: int) -> Any:
        together.wait()
        try:
            return create(api)
        finally:
            connection.close()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(race, range(20)))

    assert Agent.objects.count() == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    first = [a for a in answers if a.status_code == 201 and "Idempotency-Replayed" not in a]
    assert len(first) == 1
    refused = [answer.json() for answer in answers if answer.status_code == 409]
    assert {body["code"] for body in refused} <= {"IDEMPOTENCY_IN_FLIGHT"}
    assert all(body["retryable"] for body in refused)


@pytest.mark.django_db(transaction=True)
def test_a_repeat_in_flight_is_told_so_at_once(
    api: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, leave = threading.Event(), threading.Event()
    save = Agent.save

    def slow(agent: Agent, *args: Any, **kwargs: Any) -> None:
        entered.set()
        assert leave.wait(20)
        save(agent, *args, **kwargs)

    def first() -> int:
        try:
            return create(api).status_code
        finally:
            connection.close()

    monkeypatch.setattr(Agent, "save", slow)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first)
        assert entered.wait(20)
        began = time.monotonic()
        answer = create(api)
        took = time.monotonic() - began
        leave.set()

    assert (answer.status_code, answer.json()["code"]) == (409, "IDEMPOTENCY_IN_FLIGHT")
    assert took < 5
    assert running.result() == 201
    assert create(api)["Idempotency-Replayed"] == "true"


@pytest.mark.django_db(transaction=True)
def test_the_row_and_the_effect_are_one_transaction(api: Client) -> None:
    with transaction.atomic():
        create(api)
        transaction.set_rollback(True)

    assert not IdempotencyKey.objects.exists()
    assert not Agent.objects.exists()
