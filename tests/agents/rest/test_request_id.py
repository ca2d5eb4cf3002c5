"""Every answer carries its request's id: the caller's if it is fit for a log, else a new one."""

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client


def test_the_callers_id_is_kept(db: None) -> None:
    answer = Client().get("/api/v0/public", headers={"X-Request-Id": "abc-1"})

    assert answer["X-Request-Id"] == "abc-1"


@pytest.mark.parametrize("sent", ["", "a b", "x" * 129, "a\nb", "\u00e9"])
def test_an_unfit_id_is_replaced(db: None, sent: str) -> None:
    first = Client().get("/api/v0/public", HTTP_X_REQUEST_ID=sent)["X-Request-Id"]
    second = Client().get("/api/v0/public", HTTP_X_REQUEST_ID=sent)["X-Request-Id"]

    assert sent != first != second
    assert len(first) == 36


def test_async_requests_have_one_too(db: None) -> None:
    get = async_to_sync(AsyncClient().get)
    answer = get("/api/v0/nowhere", headers={"X-Request-Id": "abc-2"})

    assert answer["X-Request-Id"] == answer.json()["request_id"] == "abc-2"


@pytest.mark.parametrize("path", ["/api/v0/agents?name=a%00b", "/api/v0/no\0where", "/api/v0/x%00"])
def test_nul_in_a_url_reaches_no_query(api: Client, path: str) -> None:
    answer = api.get(path)

    assert (answer.status_code, answer.json()["code"]) == (400, "BAD_CHARACTERS")
