"""Lists come in pages, newest first, and ignore no parameter."""

import base64

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, Organization


@pytest.fixture
def many(organization: Organization) -> list[str]:
    rows = [
        Agent.objects.create(organization=organization, name=f"a{at}", slug=f"a{at}")
        for at in range(7)
    ]
    return [row.name for row in reversed(rows)]


def names(answer: dict[str, list[dict[str, str]]]) -> list[str]:
    return [row["name"] for row in answer["results"]]


def test_pages_lead_through_all_and_back(api: Client, many: list[str]) -> None:
    first = api.get("/api/v0/agents?limit=3").json()
    second = api.get(first["next"]).json()
    third = api.get(second["next"]).json()

    assert names(first) + names(second) + names(third) == many
    assert (first["previous"], third["next"]) == (None, None)
    assert names(api.get(third["previous"]).json()) == names(second)


def test_a_page_is_one_query_and_counts_nothing(api: Client, many: list[str]) -> None:
    api.get("/api/v0/agents")
    with CaptureQueriesContext(connection) as queries:
        api.get("/api/v0/agents?limit=2")

    assert len([q for q in queries if "agents_agent" in q["sql"]]) == 1
    assert not [q for q in queries if "COUNT" in q["sql"]]


@pytest.mark.parametrize("limit", ["0", "201", "-1", "x", "", "1.5", "9" * 5000, "\u0663"])
def test_a_limit_out_of_range_is_400(api: Client, limit: str) -> None:
    answer = api.get("/api/v0/agents", {"limit": limit})

    assert (answer.status_code, answer.json()["code"]) == (400, "LIMIT_INVALID")
    assert (answer.json()["minimum"], answer.json()["maximum"]) == (1, 200)


def cursor(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "sent", ["x", "\u00e9", cursor("p=abc"), cursor("p=%00"), cursor("o=x"), cursor("r=x")]
)
def test_a_cursor_that_no_list_gave_is_400(api: Client, sent: str) -> None:
    answer = api.get("/api/v0/agents", {"cursor": sent})

    assert (answer.status_code, answer.json()["code"]) == (400, "CURSOR_INVALID")


def test_filters_narrow_the_list(api: Client, many: list[str]) -> None:
    assert names(api.get("/api/v0/agents?name=a3").json()) == ["a3"]
    assert names(api.get("/api/v0/agents?created_before=2000-01-01T00:00:00Z").json()) == []


def test_an_unknown_parameter_is_400(api: Client) -> None:
    answer = api.get("/api/v0/agents?nmae=a3&x=1").json()

    assert (answer["code"], answer["unknown"]) == ("UNKNOWN_PARAMETER", ["nmae", "x"])
    assert answer["allowed"] == [
        "created_after",
        "created_before",
        "cursor",
        "kind",
        "limit",
        "name",
    ]


def test_an_unknown_value_is_422(api: Client) -> None:
    answer = api.get("/api/v0/agents?kind=robot&created_after=never")

    assert answer.status_code == 422
    assert {e["field"] for e in answer.json()["errors"]} == {"kind", "created"}


def test_an_empty_value_is_422(api: Client) -> None:
    answer = api.get("/api/v0/agents?kind=&created_before=")

    assert answer.status_code == 422
    assert {e["field"] for e in answer.json()["errors"]} == {"kind", "created_before"}


def test_one_thing_is_not_filtered(api: Client, agent: Agent) -> None:
    url = f"/api/v0/agents/{agent.id}"

    assert api.get(f"{url}?kind=remote").json()["allowed"] == []
    assert api.get(f"{url}/echo?verbose=1").json() == {"name": "Scribe"}
    assert api.get(f"{url}/echo?kind=react").status_code == 400
