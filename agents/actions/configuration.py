"""What may be saved as the configuration of an agent, field by field."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from django.conf import settings
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
from agents.runtime.tools import approval, hooks
from agents.runtime.tools.catalogue import arguments_of, check_names, is_known
from agents.runtime.tools.registry import EVERY_TOOL, UnknownTools

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
_TOOL_NAME_SHAPE: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 80}
_HELD_CALLS_SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["tool"],
    "additionalProperties": False,
    "properties": {
        "tool": _TOOL_NAME_SHAPE,
        "arguments": {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 20,
            "additionalProperties": {"type": "string", "minLength": 1, "maxLength": 1000},
        },
    },
}
APPROVAL_REQUIRED_SHAPE: dict[str, Any] = {
    "type": "array",
    "items": {"anyOf": [_TOOL_NAME_SHAPE, _HELD_CALLS_SHAPE]},
    "maxItems": 200,
}
_MODEL_NAME_SHAPE: dict[str, Any] = {"type": "string", "minLength": 1, "maxLength": 200}
_REACHED_SHAPE: dict[str, Any] = {
    "base_url": {"type": "string", "maxLength": 1000, "pattern": r"^(https?://\S+)?$"},
    # Other variables of the server's environment hold other secrets (see runtime.endpoint).
    "api_key_env": {
        "type": "string",
        "maxLength": 100,
        "pattern": r"^([A-Z][A-Z0-9_]*_API_KEY)?$",
    },
}
_ANSWERS_SHAPE: dict[str, Any] = {
    "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 2},
    "max_tokens": {"type": ["integer", "null"], "minimum": 1, "maximum": 10_000_000},
    "top_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
    "thinking": {"enum": [None, True, False, "minimal", "low", "medium", "high"]},
    # Below it, what is kept of a conversation would be next to nothing.
    "context_tokens": {"type": ["integer", "null"], "minimum": 2000, "maximum": 100_000_000},
}
# What a task may say of how its model answers; where that is reached is its agent's matter.
ANSWER_SETTINGS_SHAPE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": _ANSWERS_SHAPE,
}
_FALLBACK_SHAPE: dict[str, Any] = {
    "type": "object",
    "required": ["model"],
    "additionalProperties": False,
    "properties": {"model": _MODEL_NAME_SHAPE, **_REACHED_SHAPE},
}
MODEL_SETTINGS_SHAPE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        **_REACHED_SHAPE,
        **_ANSWERS_SHAPE,
        "fallback_models": {
            "type": "array",
            "maxItems": 5,
            "items": {"anyOf": [_MODEL_NAME_SHAPE, _FALLBACK_SHAPE]},
        },
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

_PATHS = {
    "type": "array",
    "items": {"type": "string", "maxLength": 200},
    "maxItems": 20,
    "uniqueItems": True,
}
HOOKS_SHAPE: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": dict.fromkeys(hooks.STAGES, _PATHS),
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


def check_approval_required(value: Any) -> None:
    """Refuse what is no list of tools and patterns, or names arguments that a tool has not.

    A pattern for an argument that no call has would hold nothing, and nobody would notice.
    """
    check_shape({**APPROVAL_REQUIRED_SHAPE, "items": {"type": ["string", "object"]}}, value)
    problems = []
    for number, entry in enumerate(value):
        try:
            check_shape(_TOOL_NAME_SHAPE if isinstance(entry, str) else _HELD_CALLS_SHAPE, entry)
        except ValidationError as error:
            problems += [f"$[{number}]{problem.removeprefix('$')}" for problem in error.messages]
        else:
            problems += [f"$[{number}]: {problem}" for problem in _unknown_arguments(entry)]
    _refuse(problems)


def _unknown_arguments(entry: Any) -> list[str]:
    name, patterns = approval.tool_of(entry), approval.patterns_of(entry)
    if not patterns or (name != EVERY_TOOL and not is_known(name)):
        return []
    known = arguments_of(name)
    return [
        f"{name} has no argument {argument!r}; valid: {', '.join(sorted(known)) or 'none'}."
        for argument in patterns
        if argument not in known
    ]


def check_model_settings(value: Any) -> None:
    """Refuse settings that a model does not have, and fallbacks that cannot be opened."""
    check_shape(MODEL_SETTINGS_SHAPE, value)
    for other in value.get("fallback_models", ()):
        check_model(other if isinstance(other, str) else other["model"])


def check_answer_settings(value: Any) -> None:
    """Refuse settings that do not say how a model answers."""
    check_shape(ANSWER_SETTINGS_SHAPE, value)


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


def check_hooks(value: Any) -> None:
    """Refuse what is no function of the modules that this installation has loaded for it."""
    check_shape(HOOKS_SHAPE, value)
    _refuse(
        f"{stage}: {problem}"
        for stage, paths in value.items()
        for path in paths
        if (problem := _hook_problem(path))
    )


def _hook_problem(path: str) -> str:
    try:
        hooks.find(path, within=settings.SIGNALBOX_MODULES)
    except hooks.HookUnknown as error:
        return str(error)
    return ""


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
    "approval_required": check_approval_required,
    "model": check_model,
    "model_settings": check_model_settings,
    "actions": check_actions,
    "hooks": check_hooks,
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
    held = map(approval.tool_of, fields.get("approval_required") or ())
    check_tool_names([*(fields.get("tools") or ()), *held])


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
