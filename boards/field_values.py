"""What the value of a custom field may be, type by type; pure."""

import json
import re
from collections.abc import Callable
from datetime import UTC, date
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.utils.dateparse import parse_datetime

from agents.actions.configuration import check_storable
from boards import patterns
from boards.models import CustomField, FieldType

LONGEST_TEXT = 1_000
LONGEST_LONG_TEXT = 100_000
LONGEST_JSON = 65_536
MOST_DIGITS = 50
_LARGEST = 2**63 - 1
_DECIMAL = re.compile(r"[+-]?[0-9]{1,100}(\.[0-9]{1,100})?([eE][+-]?[0-9]{1,6})?")
_check_url = URLValidator(schemes=["http", "https"])


def checked(field: CustomField, value: Any) -> Any:
    """The value as it is stored. Raises Django's `ValidationError` with a code and the reason.

    Decimals are stored as text, exactly as given; times in UTC; dates and times by ISO 8601.
    """
    check_storable(value)
    stored = _CHECKS[FieldType(field.type)](value)
    if not isinstance(value, str) or field.type == FieldType.JSON:
        return stored
    if field.is_required and not value.strip():
        raise ValidationError("This may not be blank.", code="blank")
    if field.validation_regex and not patterns.fits(field.validation_regex, value):
        raise ValidationError("It does not match the field's pattern.", code="pattern")
    return stored


def check_default(field: CustomField) -> None:
    """Refuse a default that the field itself would not take; null is none."""
    if field.default is not None:
        checked(field, field.default)


def _text(value: Any, longest: int = LONGEST_TEXT) -> str:
    if not isinstance(value, str):
        raise ValidationError("Not a string.", code="not_a_string")
    if len(value) > longest:
        raise ValidationError(f"At most {longest} characters.", code="max_length")
    return value


def _long_text(value: Any) -> str:
    return _text(value, LONGEST_LONG_TEXT)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValidationError("Not a whole number.", code="not_an_integer")
    if abs(value) > _LARGEST:
        raise ValidationError("At most 64 bits.", code="out_of_range")
    return value


def _decimal(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValidationError("Not a number.", code="not_a_number")
    text = str(value)
    if not _DECIMAL.fullmatch(text):
        raise ValidationError("Not a number.", code="not_a_number")
    number = Decimal(text)
    # Looked at before it is written out: 1e999999 is short, and its digits are not.
    if not _is_short(number):
        raise ValidationError(f"At most {MOST_DIGITS} digits.", code="out_of_range")
    return f"{number:f}"


def _is_short(number: Decimal) -> bool:
    _, digits, exponent = number.as_tuple()
    assert isinstance(exponent, int)  # It is finite.
    return len(digits) + abs(exponent) <= MOST_DIGITS


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValidationError("Neither true nor false.", code="not_a_boolean")
    return value


def _date(value: Any) -> str:
    text = _text(value)
    try:
        found = date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ValidationError(str(error), code="not_a_date") from error
    if found != text:  # Python reads other forms of ISO 8601 too.
        raise ValidationError("Write a date as YYYY-MM-DD.", code="not_a_date")
    return found


def _date_time(value: Any) -> str:
    text = _text(value)
    try:
        found = parse_datetime(text) if len(text) > len("YYYY-MM-DD") else None
        if found is None:
            raise ValidationError("Write a time as YYYY-MM-DDThh:mm:ssZ.", code="not_a_date_time")
        # As everywhere in the API, a time without a zone is one of UTC.
        zoned = found if found.tzinfo else found.replace(tzinfo=UTC)
        return zoned.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except (ValueError, OverflowError) as error:
        raise ValidationError("There is no such time.", code="not_a_date_time") from error


def _url(value: Any) -> str:
    text = _text(value, URLValidator.max_length)
    _check_url(text)
    return text


def _json(value: Any) -> Any:
    if len(json.dumps(value)) > LONGEST_JSON:
        raise ValidationError(f"At most {LONGEST_JSON} characters as JSON.", code="max_length")
    return value


_CHECKS: dict[FieldType, Callable[[Any], Any]] = {
    FieldType.TEXT: _text,
    FieldType.TEXT_LONG: _long_text,
    FieldType.INTEGER: _integer,
    FieldType.DECIMAL: _decimal,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.DATE_TIME: _date_time,
    FieldType.URL: _url,
    FieldType.JSON: _json,
}
