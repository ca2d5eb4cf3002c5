"""What may be saved as the configuration of an agent, field by field."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.core.exceptions import ValidationError
from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError
from referencing import Registry
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012
from rest_framework.exceptions import ValidationError as InvalidFields

from agents.actions.refusals import UnknownTool
from agents.remote import REMOTE, is_remote
from agents.runtime.kinds import registered
from agents.runtime.llm import UnknownModel, check_model_name
from agents.runtime.tools.catalogue import check_names
from agents.runtime.tools.registry import UnknownTools

# An `external` agent runs itself: it fetches its inbox and works through the agent-scoped API. A
# `remote` one is carried on by workers that poll for it; `remote:` and a name tells theirs apart.
OUTSIDE = ("external", REMOTE)
DEEPEST = 40

TOOLS_SHAPE: dict[str, Any] = {
    "type": ["array", "null"],
    "items": {"type": "string", "minLength": 1, "maxLength": 80},
    "maxItems": 200,
    "uniqueItems": True,
}
MODEL_SETTINGS_SHAPE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "base_url": {"type": "string", "maxLength": 1000, "pattern": r"^(https?://\S+)?$"},
        # Other variables of the server's environment hold other secrets (see runtime.endpoint).
        "api_key_env": {
            "type": "string",
            "maxLength": 100,
            "pattern": r"^([A-Z][A-Z0-9_]*_API_KEY)?$",
        },
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
        "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 10_000_000},
        "timeout": {"type": "number", "exclusiveMinimum": 0, "maximum": 3600},
        "retries": {"type": "integer", "minimum": 0, "maximum": 20},
    },
}
ACTIONS_SHAPE: dict[str, Any] = {
    "type": "object",
    "maxProperties": 200,
    "propertyNames": {"pattern": r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$"},
    "additionalProperties": {
        "type": "object",
        "required": ["prompt"],
        "additionalProperties": False,
        "properties": {
            "prompt": {"type": "string", "pattern": r"\S"},
            "description": {"type": "string"},
            "input_schema": {"type": "object"},
            "output_schema": {"type": "object"},
        },
    },
}


def check_storable(value: Any) -> None:
    """Refuse what PostgreSQL's jsonb cannot hold (NUL, half characters) or is nested too deep."""
    todo = [(value, 0)]
    while todo:
        item, depth = todo.pop()
        if depth > DEEPEST:
            raise ValidationError(f"Nested deeper than {DEEPEST} levels.", code="too_deep")
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, Mapping):
            todo += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            todo += [(part, depth + 1) for part in item]


def check_tools(value: Any) -> None:
    """Refuse what is neither null nor a list of different names; `check_tool_names` knows them."""
    check_shape(TOOLS_SHAPE, value)


def check_model_settings(value: Any) -> None:
    check_shape(MODEL_SETTINGS_SHAPE, value)


def check_actions(value: Any) -> None:
    """Refuse actions without a prompt, with unknown fields, or with schemas that are none."""
    check_shape(ACTIONS_SHAPE, value)
    problems = [
        f"{name}.{field}: {problem}"
        for name, action in value.items()
        for field in ("input_schema", "output_schema")
        if field in action and (problem := schema_problem(action[field]))
    ]
    _refuse(problems)


def check_model(value: str) -> None:
    """Refuse a model name that cannot be opened; empty falls back to the board."""
    try:
        if value:
            check_model_name(value)
    except UnknownModel as error:
        raise ValidationError(str(error), code="unknown_model") from error


def kinds() -> list[str]:
    """Every kind that an agent can have: those registered here, and those that run elsewhere."""
    return [*dict.fromkeys(kind.name for kind in registered()), *OUTSIDE]


def check_kind(value: str) -> None:
    if value not in kinds() and not is_remote(value):
        valid = ", ".join([*kinds(), f"{REMOTE}:<name>"])
        raise ValidationError(f"There is no kind {value!r}; valid: {valid}.", code="unknown_kind")


def check_tool_names(names: Iterable[str] | None) -> None:
    """Raise the refusal UNKNOWN_TOOL for a name that no tool has; `*` stands for all."""
    try:
        check_names(names or ())
    except UnknownTools as error:
        raise UnknownTool(unknown=list(error.unknown), valid=list(error.valid)) from error


def check_turns(value: int | None) -> None:
    if value is not None and not 1 <= value <= 500:
        raise ValidationError("Turns run from 1 to 500.", code="out_of_range")


def check_limit(value: int | None) -> None:
    """Refuse a limit below 1; null means none."""
    if value is not None and value < 1:
        raise ValidationError("A limit is at least 1, or null for none.", code="out_of_range")


FIELD_CHECKS: dict[str, Callable[[Any], None]] = {
    "tools": check_tools,
    "model": check_model,
    "model_settings": check_model_settings,
    "actions": check_actions,
    "kind": check_kind,
    "max_turns": check_turns,
    "max_concurrency": check_limit,
    "token_budget": check_limit,
    "seconds_budget": check_limit,
}


def check(
    fields: Mapping[str, Any], checks: Mapping[str, Callable[[Any], None]] = FIELD_CHECKS
) -> None:
    """Raise one `ValidationError` of REST framework that names every field that is wrong.

    Raises `UnknownTool` when all else is right and a tool's name is not.
    """
    problems: dict[str, list[str]] = {}
    for name in checks.keys() & fields.keys():
        try:
            checks[name](fields[name])
        except ValidationError as error:
            problems[name] = error.messages
    if problems:
        raise InvalidFields(problems)
    check_tool_names(fields.get("tools"))


def check_shape(shape: Mapping[str, Any], value: Any) -> None:
    """Refuse a value that does not fit a JSON Schema, with every problem and where it is."""
    check_storable(value)
    errors = Draft202012Validator(shape).iter_errors(value)
    _refuse(f"{error.json_path}: {error.message[:300]}" for error in errors)


def schema_problem(schema: Mapping[str, Any]) -> str:
    """Why this cannot be used as a JSON Schema of draft 2020-12; empty when it can."""
    try:
        Draft202012Validator.check_schema(schema)
        _look_up_references(schema)
        # A schema that refers to nothing but itself never ends; this tells at once.
        Draft202012Validator(schema).is_valid({})
    except SchemaError as error:
        return f"{error.json_path}: {error.message[:300]}"
    except Unresolvable as error:
        return f"a reference leads nowhere: {error.ref}"
    except RecursionError:
        return "it refers to itself without end"
    return ""


def _look_up_references(schema: Mapping[str, Any]) -> None:
    """Raise `Unresolvable` for a reference out of the schema: nothing is fetched, ever."""
    resource = DRAFT202012.create_resource(schema)
    resolver = Registry[Any]().with_resource("", resource).resolver()
    todo: list[Any] = [schema]
    while todo:
        item = todo.pop()
        if isinstance(item, Mapping):
            for word in ("$ref", "$dynamicRef"):
                if isinstance(item.get(word), str):
                    resolver.lookup(item[word])
            todo += item.values()
        elif isinstance(item, list):
            todo += item


def _check_text(text: str) -> None:
    if "\x00" in text:
        raise ValidationError("Null characters are not allowed.", code="null_character")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValidationError("Half characters are not allowed.", code="surrogate_character")


def _refuse(problems: Iterable[str]) -> None:
    found = sorted(problems)
    if found:
        raise ValidationError([ValidationError(problem, code="invalid") for problem in found])
