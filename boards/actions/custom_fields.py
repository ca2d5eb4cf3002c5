"""Defines custom fields, and gives tasks their values in them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from rest_framework.exceptions import ErrorDetail
from rest_framework.exceptions import ValidationError as InvalidFields

from agents.activity import Actor, record
from agents.errors import Refusal
from agents.models import Organization
from boards import patterns
from boards.errors import BoardNotFound
from boards.field_values import check_default, checked
from boards.models import Board, CustomField, CustomFieldValue, FieldType, Task

# Those whose value is text; a decimal is a number, though it is kept as text.
_STRINGS = frozenset(
    {FieldType.TEXT, FieldType.TEXT_LONG, FieldType.DATE, FieldType.DATE_TIME, FieldType.URL}
)
_FIXED = frozenset({"key", "type"})


class FieldNotFound(Refusal):
    """There is no such custom field in this organization."""

    code = "CUSTOM_FIELD_NOT_FOUND"
    status_code = 404


class FieldKeyTaken(Refusal):
    """Another custom field of this organization has this key."""

    code = "CUSTOM_FIELD_KEY_TAKEN"


class WrongFieldValues(Refusal):
    """Some custom fields cannot have these values."""

    code = "VALIDATION_FAILED"
    status_code = 422


@transaction.atomic
def create_field(
    organization: Organization, fields: Mapping[str, Any], *, by: Actor
) -> CustomField:
    """A new custom field; `boards` are the ids of those whose tasks have it.

    Raises `FieldKeyTaken`, `BoardNotFound`, and `ValidationError` that names the fields.
    """
    values = {**fields}
    boards = _boards(organization, values.pop("boards", ()))
    field = CustomField(organization=organization, **values)
    field.key = field.key.lower()
    _check(field)
    try:
        with transaction.atomic():
            field.save(force_insert=True)
    except IntegrityError as error:
        raise FieldKeyTaken(key=field.key) from error
    field.boards.set(boards)
    _tell("custom_field.created", field, by, field_type=field.type)
    return field


@transaction.atomic
def change_field(field: CustomField, changes: Mapping[str, Any], *, by: Actor) -> CustomField:
    """Change a custom field; its key and its type stay. Values that tasks have are kept as they
    are: a new pattern holds for what is written from now on.

    Raises `FieldNotFound`, `BoardNotFound`, and `ValidationError` that names the fields.
    """
    locked = _locked(field)
    wanted = {**changes}
    boards = wanted.pop("boards", None)
    if "key" in wanted:
        wanted["key"] = wanted["key"].lower()
    changed = {name: value for name, value in wanted.items() if getattr(locked, name) != value}
    if changed.keys() & _FIXED:
        fixed = ErrorDetail("Make another custom field instead.", code="fixed")
        raise InvalidFields({name: [fixed] for name in changed.keys() & _FIXED})
    for name, value in changed.items():
        setattr(locked, name, value)
    _check(locked)
    if changed:
        locked.save(update_fields=[*changed, "updated_at"])
    if boards is not None and _set_boards(locked, boards):
        changed["boards"] = boards
    if changed:
        _tell("custom_field.updated", locked, by, changed=sorted(changed))
    return locked


@transaction.atomic
def delete_field(field: CustomField, *, by: Actor) -> None:
    """Remove a custom field with the values that tasks have in it."""
    locked = _locked(field)
    _tell("custom_field.deleted", locked, by)
    locked.delete()


def set_values(task: Task, values: Mapping[str, Any], *, is_new: bool) -> bool:
    """Give a task values in custom fields of its board; whether that changed any.

    To be called in the caller's transaction. `values` maps keys to values, and null clears one.
    A new task gets the defaults of the fields that are not named.

    Raises `WrongFieldValues` with every problem at once: in `errors`, and the keys that there are
    not in `unknown_field_keys`, those of required fields without a value in `missing_field_keys`.
    """
    if not values and not is_new:
        return False
    fields = {field.key: field for field in CustomField.objects.filter(boards=task.board_id)}
    wanted = {**_defaults(fields.values()), **values} if is_new else {**values}
    stored, problems = _checked(fields, wanted)
    unknown = sorted(values.keys() - fields.keys())
    missing = sorted(_missing(fields.values(), wanted, is_new=is_new))
    if problems or unknown or missing:
        raise _refusal(problems, unknown, missing)
    return _write(task, {fields[key]: value for key, value in stored.items()})


def _defaults(fields: Iterable[CustomField]) -> dict[str, Any]:
    return {field.key: field.default for field in fields if field.default is not None}


def _checked(
    fields: Mapping[str, CustomField], wanted: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, ValidationError]]:
    stored: dict[str, Any] = {}
    problems: dict[str, ValidationError] = {}
    for key in wanted.keys() & fields.keys():
        try:
            value = wanted[key]
            stored[key] = None if value is None else checked(fields[key], value)
        except ValidationError as error:
            problems[key] = error
    return stored, problems


def _missing(
    fields: Iterable[CustomField], wanted: Mapping[str, Any], *, is_new: bool
) -> Iterable[str]:
    for field in fields:
        is_asked = is_new or field.key in wanted
        if field.is_required and is_asked and wanted.get(field.key) is None:
            yield field.key


def _refusal(
    problems: Mapping[str, ValidationError], unknown: list[str], missing: list[str]
) -> WrongFieldValues:
    errors = [_error(key, "unknown_field", "There is no such custom field.") for key in unknown]
    errors += [_error(key, "required", "This custom field is required.") for key in missing]
    for key, problem in sorted(problems.items()):
        errors.append(_error(key, _code(problem), " ".join(problem.messages)))
    keys = {"unknown_field_keys": unknown, "missing_field_keys": missing}
    facts: dict[str, Any] = {name: found for name, found in keys.items() if found}
    return WrongFieldValues(errors=errors, **facts)


def _error(key: str, code: str, detail: str) -> dict[str, str]:
    return {"field": f"custom_field_values.{key}", "code": code, "detail": detail}


def _code(problem: ValidationError) -> str:
    return next((error.code for error in problem.error_list if error.code), "invalid")


def _write(task: Task, values: Mapping[CustomField, Any]) -> bool:
    before = dict(task.custom_field_values.values_list("field_id", "value"))
    changed = {
        field: value for field, value in values.items() if _differ(before.get(field.id), value)
    }
    cleared = [field.id for field, value in changed.items() if value is None]
    task.custom_field_values.filter(field_id__in=cleared).delete()
    CustomFieldValue.objects.bulk_create(
        [
            CustomFieldValue(task=task, field=field, value=value)
            for field, value in changed.items()
            if value is not None
        ],
        update_conflicts=True,
        unique_fields=["task", "field"],
        update_fields=["value"],
    )
    return bool(changed)


def _differ(before: Any, after: Any) -> bool:
    # As JSON: in Python 1 equals true.
    return json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True)


def _check(field: CustomField) -> None:
    """Raise every problem of a field's own configuration at once."""
    problems: dict[str, list[str]] = {}
    try:
        if field.validation_regex:
            patterns.check_pattern(field.validation_regex)
            _check_takes_pattern(field)
    except ValidationError as error:
        problems["validation_regex"] = error.messages
    try:
        if not problems:
            check_default(field)
    except ValidationError as error:
        problems["default"] = error.messages
    if problems:
        raise InvalidFields(problems)


def _check_takes_pattern(field: CustomField) -> None:
    if field.type not in _STRINGS:
        raise ValidationError("Only strings are matched with a pattern.", code="not_a_string")


def _boards(organization: Organization, ids: Iterable[UUID]) -> list[Board]:
    wanted = set(ids)
    found = list(Board.objects.filter(organization=organization, id__in=wanted).only("id"))
    unknown = wanted - {board.id for board in found}
    if unknown:
        raise BoardNotFound(unknown_board_ids=sorted(unknown))
    return found


def _set_boards(field: CustomField, ids: Iterable[UUID]) -> bool:
    boards = _boards(field.organization, ids)
    before = set(field.boards.values_list("id", flat=True))
    field.boards.set(boards)
    return before != {board.id for board in boards}


def _locked(field: CustomField) -> CustomField:
    rows = CustomField.objects.select_for_update(of=("self",), no_key=True)
    locked = rows.select_related("organization").filter(pk=field.pk).first()
    if locked is None:
        raise FieldNotFound
    return locked


def _tell(event: str, field: CustomField, by: Actor, **facts: Any) -> None:
    record(field.organization_id, event, by=by, field_id=str(field.id), key=field.key, **facts)
