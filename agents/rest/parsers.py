"""JSON bodies, read no further than the limit and accepted only if PostgreSQL can keep them."""

import json
import math
from collections.abc import Iterator, Mapping
from typing import IO, Any

from django.conf import settings
from django.http import HttpRequest
from django.utils.http import parse_header_parameters
from rest_framework.exceptions import UnsupportedMediaType, ValidationError
from rest_framework.parsers import BaseParser

from agents.rest.refusals import BodyTooLarge, MalformedJson

MEDIA_TYPE = "application/json"
MAX_DEPTH = 100
# What a bigint holds; also far beyond what other languages read without loss.
_INTEGERS = range(-(2**63), 2**63)
_LONGEST_INTEGER = 20


class BoundedJSONParser(BaseParser):
    """DRF's door to `parse`."""

    media_type = MEDIA_TYPE

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Mapping[str, Any] | None = None,
    ) -> Any:
        _require_json(media_type or "")
        return parse(_read(stream))


def read_json(request: HttpRequest) -> Any:
    """The body of a request to a plain view; {} when there is none.

    Raises UnsupportedMediaType, BodyTooLarge, MalformedJson, or ValidationError for text that
    cannot be stored.
    """
    body = _read(request)
    if not body:
        return {}
    _require_json(request.META.get("CONTENT_TYPE", ""))
    return parse(body)


def parse(body: bytes) -> Any:
    """Strict JSON: UTF-8, finite numbers, no repeated names, at most `MAX_DEPTH` levels."""
    try:
        value = json.loads(
            body.decode(),
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
    except RecursionError as exc:
        raise MalformedJson(f"It is nested deeper than {MAX_DEPTH} levels.") from exc
    except ValueError as exc:
        raise MalformedJson(f"The body is not strict JSON: {exc}") from exc
    _check_text(value)
    return value


def _read(stream: Any) -> bytes:
    """At most the limit, whatever length the request claims."""
    limit = settings.API_BODY_LIMIT
    body: bytes = stream.read(limit + 1)
    if len(body) > limit:
        raise BodyTooLarge(limit=limit)
    return body


def _require_json(content_type: str) -> None:
    media_type, parameters = parse_header_parameters(content_type)
    charset = parameters.get("charset", "utf-8").lower()
    if media_type != MEDIA_TYPE or charset not in {"utf-8", "utf8"}:
        raise UnsupportedMediaType(content_type)


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER or int(text) not in _INTEGERS:
        raise ValueError("an integer is outside the range of 64 bits")
    return int(text)


def _number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _constant(name: str) -> None:
    raise ValueError(f"{name} is not a JSON value")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is repeated in an object")
    return found


def _check_text(value: Any) -> None:
    """Refuse what PostgreSQL would: NUL characters and lone surrogates. Every place at once."""
    errors: dict[str, list[str]] = {}
    for path, text in _texts(value):
        if "\0" in text:
            errors[_printable(path)] = ["NUL characters are not allowed."]
        elif not _is_unicode(text):
            errors[_printable(path)] = ["Half of a surrogate pair is not text."]
    if errors:
        raise ValidationError(errors, code="invalid_text")


def _texts(root: Any) -> Iterator[tuple[str, str]]:
    """Every string of a value with its path, names included; without recursion."""
    pending: list[tuple[str, Any, int]] = [("", root, 0)]
    while pending:
        path, value, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise MalformedJson(f"It is nested deeper than {MAX_DEPTH} levels.")
        if isinstance(value, str):
            yield path, value
        elif isinstance(value, list):
            pending += [(f"{path}[{at}]", item, depth + 1) for at, item in enumerate(value)]
        elif isinstance(value, dict):
            for name, item in value.items():
                inner = f"{path}.{name}" if path else name
                yield inner, name
                pending.append((inner, item, depth + 1))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _printable(path: str) -> str:
    return path.encode("ascii", "backslashreplace").decode().replace("\0", "\\x00")
