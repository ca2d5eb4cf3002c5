"""The parameters of a tool, cut from the OpenAPI document of a role: one schema, whole in itself.

Providers take no references, and at the top nothing but an object with its properties. What is
given up for that (one of two fields, formats) the operation itself still refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.runtime.tools.registry import parameters

# A page is read by a model: shorter than one that a program reads.
PAGE = 20
_NOT_FOR_MODELS = frozenset({"readOnly", "writeOnly", "example", "examples", "deprecated"})

Schema = Mapping[str, Any]


def of_path(operation: Schema, components: Schema) -> dict[str, Any]:
    """The parameters in the operation's path, each with its schema."""
    return _parameters(operation, components, "path")


def of_query(operation: Schema, components: Schema) -> dict[str, Any]:
    """The parameters in its query."""
    found = _parameters(operation, components, "query")
    if "limit" in found:
        found["limit"] = {**found["limit"], "default": PAGE}
    return found


def of_body(operation: Schema, components: Schema) -> tuple[dict[str, Any], list[str]]:
    """The fields of its body, and which of them are required."""
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = inlined(content.get("schema", {}), components)
    return dict(body.get("properties", {})), list(body.get("required", ()))


def joined(*parts: Schema, required: list[str]) -> dict[str, Any]:
    """The one schema of all that a call takes. Raises ValueError for a name that comes twice."""
    named = [name for part in parts for name in part]
    if len(set(named)) < len(named):
        raise ValueError(f"a name comes twice: {sorted(named)}")
    properties = {name: schema for part in parts for name, schema in part.items()}
    return parameters(properties, required=required)


def inlined(schema: Any, components: Schema, within: tuple[str, ...] = ()) -> Any:
    """The schema with what it refers to in place of the references. Raises ValueError for one
    that contains itself.
    """
    if isinstance(schema, list):
        return [inlined(each, components, within) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    if "$ref" in schema:
        return _referred(schema["$ref"], components, within)
    whole = {
        name: inlined(part, components, within)
        for name, part in schema.items()
        if name not in _NOT_FOR_MODELS
    }
    # What a list of choices says of itself is what the choices are.
    if "enum" in whole:
        whole.pop("description", None)
    return _with_choice(whole)


def _referred(reference: str, components: Schema, within: tuple[str, ...]) -> Any:
    if reference in within:
        raise ValueError(f"{reference} contains itself")
    named = components["schemas"][reference.rpartition("/")[2]]
    return inlined(named, components, (*within, reference))


def _with_choice(schema: dict[str, Any]) -> dict[str, Any]:
    """Any of the choices, not exactly one: without formats two of them may hold."""
    choices = schema.pop("oneOf", None)
    if choices is None or {} in choices:
        return schema
    return {**schema, "anyOf": choices}


def _parameters(operation: Schema, components: Schema, place: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for parameter in operation.get("parameters", ()):
        if parameter.get("in") != place:  # A shared header is a reference.
            continue
        schema = inlined(parameter["schema"], components)
        text = parameter.get("description", "")
        is_choice = "enum" in schema or "enum" in schema.get("items", {})
        more = {"description": text} if text and not is_choice else {}
        found[parameter["name"]] = {**schema, **more}
    return found
