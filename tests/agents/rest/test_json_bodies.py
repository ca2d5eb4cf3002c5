"""A body is strict JSON within the limit that PostgreSQL can keep, or is refused by name."""

import contextlib
import json
from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.exceptions import ValidationError

from agents.rest.parsers import MAX_DEPTH, parse
from agents.rest.refusals import MalformedJson

PATHS = ["/api/v0/echo", "/api/v0/plain"]
both = pytest.mark.parametrize("path", PATHS)


def post(client: Client, path: str, body: bytes, media_type: str = "application/json") -> Any:
    return client.generic("POST", path, body, media_type)


@both
@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"NaN",
        b'{"name": Infinity}',
        b'{"name": 1e999}',
        b'{"name": 9223372036854775808}',
        b'{"name": ' + b"9" * 5000 + b"}",
        b'{"name": 1, "name": 2}',
        b"[" * 100_000,
        b"[" * 500 + b"]" * 500,
        b"\xef\xbb\xbf{}",
    ],
)
def test_what_is_not_strict_json_is_400(api: Client, path: str, body: bytes) -> None:
    answer = post(api, path, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "MALFORMED_JSON")


@both
@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b'{"name": "a\\u0000b", "parts": []}', "name"),
        (b'{"name": "a", "parts": [], "extra": {"x": [1, "\\ud800"]}}', "extra.x[1]"),
        (b'{"name": "a", "parts": [], "extra": {"\\u0000": 1}}', "extra.\\x00"),
    ],
)
def test_text_that_cannot_be_stored_is_422(api: Client, path: str, body: bytes, field: str) -> None:
    answer = post(api, path, body)

    assert answer.status_code == 422
    assert [(e["field"], e["code"]) for e in answer.json()["errors"]] == [(field, "invalid_text")]


@both
@pytest.mark.parametrize("media_type", ["text/plain", "application/json; charset=utf-16", ""])
def test_another_media_type_is_415(api: Client, path: str, media_type: str) -> None:
    answer = post(api, path, b'{"name": "a", "parts": []}', media_type)

    assert (answer.status_code, answer.json()["code"]) == (415, "UNSUPPORTED_MEDIA_TYPE")


@both
def test_a_body_over_the_limit_is_413(api: Client, path: str, settings: Any) -> None:
    settings.API_BODY_LIMIT = 100
    too_long = b'{"name": "a", "parts": [] %s}' % (b" " * 100)

    answer = post(api, path, too_long)

    assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")
    assert answer.json()["limit"] == 100


def test_a_body_of_the_limit_fits(api: Client, settings: Any) -> None:
    body = b'{"name": "a", "parts": []}'
    settings.API_BODY_LIMIT = len(body)

    assert post(api, "/api/v0/echo", body).status_code == 200


def test_no_body_is_an_empty_object(api: Client) -> None:
    assert post(api, "/api/v0/plain", b"", "").json()["body"] == {}
    assert post(api, "/api/v0/echo", b"", "").status_code == 422


def test_a_charset_may_be_named(api: Client) -> None:
    answer = post(api, "/api/v0/plain", '{"a": "é"}'.encode(), "application/json; charset=UTF-8")

    assert answer.json()["body"] == {"a": "é"}


def test_the_deepest_body_that_is_accepted() -> None:
    assert parse(b"[" * MAX_DEPTH + b"1" + b"]" * MAX_DEPTH)
    with pytest.raises(MalformedJson):
        parse(b"[" * (MAX_DEPTH + 1) + b"1" + b"]" * (MAX_DEPTH + 1))


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc\u00e9", min_size=1), inner),
    max_leaves=20,
)


@given(values)
def test_every_storable_value_is_read_as_it_is(value: Any) -> None:
    assert parse(json.dumps(value).encode()) == value


@given(st.binary(max_size=200) | st.text().map(lambda text: json.dumps(text).encode()))
def test_any_bytes_are_a_value_or_a_refusal(body: bytes) -> None:
    with contextlib.suppress(MalformedJson, ValidationError):
        parse(body)
