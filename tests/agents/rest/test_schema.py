"""The schema tells of every operation what is true of all: callers, headers and problems."""

from typing import Any

import pytest
from django.test import Client
from drf_spectacular.validation import validate_schema

from agents.rest.problems import BUILT_IN


@pytest.fixture
def schema(db: None) -> dict[str, Any]:
    answer = Client().get("/api/v0/schema/", {"format": "json"}, headers={"Accept": "*/*"})
    found: dict[str, Any] = answer.json()
    return found


def operation(schema: dict[str, Any], method: str, path: str) -> dict[str, Any]:
    found: dict[str, Any] = schema["paths"][f"/api/v0/{path}"][method]
    return found


@pytest.mark.parametrize(
    ("method", "path", "statuses"),
    [
        ("get", "agents", {200, 400, 401, 403, 404, 406, 422, 429, 503}),
        ("post", "agents", {201, 400, 401, 403, 404, 406, 409, 413, 415, 422, 429, 503}),
        (
            "patch",
            "agents/{id}",
            {200, 400, 401, 403, 404, 406, 409, 412, 413, 415, 422, 429, 503},
        ),
        ("delete", "agents/{id}", {204, 400, 401, 403, 404, 406, 409, 429, 503}),
        ("get", "public", {200, 400, 406, 429, 503}),
        ("post", "mixed", {200, 202, 400, 401, 403, 404, 406, 408, 409, 413, 415, 422, 429, 503}),
        ("get", "mixed", {200, 400, 401, 403, 404, 406, 422, 429, 503}),
    ],
)
def test_an_operation_declares_its_problems(
    schema: dict[str, Any], method: str, path: str, statuses: set[int]
) -> None:
    assert {int(s) for s in operation(schema, method, path)["responses"]} == statuses


def test_it_is_openapi(schema: dict[str, Any]) -> None:
    assert schema["openapi"] == "3.1.0"
    validate_schema(schema)


def test_a_problem_has_its_schema_and_an_example(schema: dict[str, Any]) -> None:
    answer = operation(schema, "post", "agents")["responses"]["422"]["content"]
    media = answer["application/problem+json"]

    assert media["schema"] == {"$ref": "#/components/schemas/Problem"}
    example = media["examples"]["VALIDATION_FAILED"]["value"]
    problem = schema["components"]["schemas"]["Problem"]
    assert set(problem["required"]) <= set(example)


def test_the_codes_are_listed(schema: dict[str, Any]) -> None:
    schemas = schema["components"]["schemas"]
    codes = schemas["ProblemCode"]["enum"]

    assert schemas["Problem"]["properties"]["code"] == {"$ref": "#/components/schemas/ProblemCode"}

    assert {*BUILT_IN, "MALFORMED_JSON", "IDEMPOTENCY_IN_FLIGHT", "AGENT_SLUG_TAKEN"} <= set(codes)


def parameters(schema: dict[str, Any], method: str, path: str) -> set[str]:
    return {found["name"] for found in operation(schema, method, path).get("parameters", [])}


def test_headers_stand_where_they_count(schema: dict[str, Any]) -> None:
    assert parameters(schema, "post", "agents") == {"Idempotency-Key", "X-Organization"}
    assert parameters(schema, "patch", "agents/{id}") == {"If-Match", "X-Organization", "id"}
    assert parameters(schema, "get", "public") == set()
    assert parameters(schema, "get", "agents") >= {"limit", "cursor", "kind", "created_after"}


def test_callers_are_named(schema: dict[str, Any]) -> None:
    assert operation(schema, "get", "agents")["security"] == [
        {"session": []},
        {"integrationKey": []},
    ]
    assert set(schema["components"]["securitySchemes"]) == {
        "session",
        "integrationKey",
        "agentToken",
    }


def test_every_operation_has_an_id_and_a_summary(schema: dict[str, Any]) -> None:
    found = [op for path in schema["paths"].values() for op in path.values()]

    ids = [op["operationId"] for op in found]
    assert len(ids) == len(set(ids)) > 5
    assert operation(schema, "get", "agents")["summary"] == "Agents of one organization"


def test_a_plain_view_is_described_like_any_other(schema: dict[str, Any]) -> None:
    start = operation(schema, "post", "mixed")

    assert (start["operationId"], start["summary"]) == ("agents_start", "Start something.")
    body = start["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/FormRequest"}
    assert "text/event-stream" in start["responses"]["200"]["content"]
    assert "application/json" in start["responses"]["202"]["content"]


def test_a_path_of_several_views_serves_them(api: Client) -> None:
    assert api.get("/api/v0/mixed").json()["results"] == []
    assert api.head("/api/v0/mixed").status_code == 200
    assert api.post("/api/v0/mixed", {}, "application/json").status_code == 202
