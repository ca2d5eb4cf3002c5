"""The OpenAPI schema of the agent API cut to one role, small enough for a model to read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from functools import cache
from typing import Any

from django.http import HttpResponse, JsonResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.settings import spectacular_settings
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.views import APIView

from agents.errors import Refusal
from boards.agent_api.hints import Role

BASE = "/api/v0/agent/"
_REF = "#/components/"
_PROBLEM = "application/problem+json"


class UnknownRole(Refusal):
    """The schema is cut to one of the roles."""

    code = "UNKNOWN_ROLE"
    status_code = 422


class RoleSchemaView(APIView):
    """The agent API as one role may use it."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        operation_id="agent_schema",
        summary="The agent API as one role may use it",
        parameters=[OpenApiParameter("role", str, required=True, enum=[*Role])],
        responses={(200, "application/json"): dict},
        tags=["agent"],
    )
    def get(self, request: Request) -> HttpResponse:
        role = request.query_params.get("role", "")
        if role not in set(Role):
            raise UnknownRole(role=role, allowed=[*Role])
        return JsonResponse(of_role(Role(role)))


schema_of_role = RoleSchemaView.as_view()


@cache
def of_role(role: Role) -> dict[str, Any]:
    """The schema with the role's operations, and only the components that they need."""
    whole = _whole()
    paths = {
        path: kept
        for path, operations in whole["paths"].items()
        if (kept := _of_role(operations, role))
    }
    responses: dict[str, Any] = {}
    headers: dict[str, Any] = {}
    for _, operation in _operations(paths):
        _share_problems(operation, responses)
        _share_headers(operation, headers)
    cut = {
        "openapi": whole["openapi"],
        "info": {"title": f"Signalbox for a {role} agent", "version": whole["info"]["version"]},
        "paths": paths,
    }
    schemas = _needed([paths, responses], whole["components"]["schemas"])
    security = {"agentToken": whole["components"]["securitySchemes"]["agentToken"]}
    components = {"schemas": schemas, "responses": responses, "parameters": headers}
    return cut | {"components": components | {"securitySchemes": security}}


class _OfAgents(SchemaGenerator):
    """Reads the agent API alone: a fraction of the time, which a run may have to wait for."""

    def _get_paths_and_endpoints(self) -> list[Any]:
        found = super()._get_paths_and_endpoints()  # type: ignore[no-untyped-call]  # As below.
        return [endpoint for endpoint in found if endpoint[0].startswith(BASE)]


def _whole() -> dict[str, Any]:
    generator: Any = _OfAgents()  # type: ignore[no-untyped-call]  # It has no types.
    schema: dict[str, Any] = generator.get_schema(request=None, public=True)
    for hook in spectacular_settings.POSTPROCESSING_HOOKS:
        schema = hook(result=schema, generator=generator, request=None, public=True)
    return deepcopy(schema)


def _of_role(operations: Mapping[str, Any], role: Role) -> dict[str, Any]:
    tag = f"agent-{role}"
    return {
        method: operation for method, operation in operations.items() if tag in operation["tags"]
    }


def _operations(paths: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for operations in paths.values():
        yield from operations.items()


def _share_problems(operation: dict[str, Any], shared: dict[str, Any]) -> None:
    """Let every operation refer to one description of each problem's status."""
    for status, response in operation["responses"].items():
        if _PROBLEM not in response.get("content", {}):
            continue
        schema = response["content"][_PROBLEM]["schema"]
        shared.setdefault(
            f"Problem{status}",
            {"description": response["description"], "content": {_PROBLEM: {"schema": schema}}},
        )
        operation["responses"][status] = {"$ref": f"{_REF}responses/Problem{status}"}


def _share_headers(operation: dict[str, Any], shared: dict[str, Any]) -> None:
    """Let every operation refer to one description of each header."""
    for at, parameter in enumerate(operation.get("parameters", ())):
        if parameter["in"] == "header":
            shared.setdefault(parameter["name"], parameter)
            operation["parameters"][at] = {"$ref": f"{_REF}parameters/{parameter['name']}"}


def _needed(used_by: Any, schemas: Mapping[str, Any]) -> dict[str, Any]:
    """The schemas that are referred to, and those that they refer to."""
    found: dict[str, Any] = {}
    todo = list(_references(used_by))
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = schemas[name]
            todo += _references(schemas[name])
    return dict(sorted(found.items()))


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, Mapping):
        reference = part.get("$ref")
        if isinstance(reference, str) and reference.startswith(f"{_REF}schemas/"):
            yield reference.rpartition("/")[2]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)
