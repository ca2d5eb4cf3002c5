"""Every exception as `application/problem+json` (RFC 9457), decided in one place."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import singledispatch
from http.client import responses
from typing import Any

import redis.exceptions
from django.core import exceptions as django_exceptions
from django.core.signals import got_request_exception
from django.db import DataError, IntegrityError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.request import RawPostDataException, UnreadablePostError
from rest_framework import exceptions as drf
from rest_framework.utils.encoders import JSONEncoder

from agents.errors import Refusal
from agents.rest.refusals import NotSignedIn
from agents.rest.request_id import request_id_of

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_BASE = "/api/v0/docs/#problem-"
RETRY_AFTER_SECONDS = 5
_RETRYABLE = {408, 429, 503}
# SQLSTATEs: unique, foreign key and exclusion violations.
_CONFLICTS = {"23505", "23503", "23P01"}
_CHECK_VIOLATION = "23514"


@dataclass(frozen=True, slots=True)
class Problem:
    """What an exception means to the caller; `facts` stand beside `detail` in the body."""

    status: int
    code: str
    detail: str
    retryable: bool = False
    errors: tuple[dict[str, str], ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


# Codes that come from Django, DRF and the database rather than from a Refusal.
BUILT_IN: dict[str, tuple[int, str]] = {
    "BAD_REQUEST": (400, "The request is malformed."),
    "NOT_FOUND": (404, "There is no such thing here."),
    "FORBIDDEN": (403, "You do not have permission to do this."),
    "METHOD_NOT_ALLOWED": (405, "This method is not allowed here."),
    "NOT_ACCEPTABLE": (406, "Answers are JSON; accept application/json."),
    "CONFLICT": (409, "Something else with these values exists, or was changed meanwhile."),
    "UNSUPPORTED_MEDIA_TYPE": (415, "Send a body of the media type application/json."),
    "VALIDATION_FAILED": (422, "Some values cannot be accepted."),
    "THROTTLED": (429, "Too many requests."),
    "INTERNAL_ERROR": (500, "Something went wrong here; it was logged under the request id."),
    "DEPENDENCY_UNAVAILABLE": (503, "The database or Redis is unavailable; try again."),
}
_CODE_OF_STATUS = {status: code for code, (status, _) in BUILT_IN.items()}


def _built_in(code: str, detail: str = "", **facts: Any) -> Problem:
    status, text = BUILT_IN[code]
    return Problem(status, code, detail or text, facts=facts, retryable=status in _RETRYABLE)


def of_status(status: int) -> Problem:
    """The problem of an answer that Django made itself, of which only the status is known."""
    known = _CODE_OF_STATUS.get(status)
    if known:
        return _built_in(known)
    phrase = responses.get(status, f"Status {status}")
    return Problem(status, phrase.upper().replace(" ", "_").replace("-", "_"), phrase)


@singledispatch
def problem_of(exc: Exception) -> Problem:
    """What an exception means; one that nobody foresaw is an internal error without details."""
    return _built_in("INTERNAL_ERROR")


@problem_of.register
def _(exc: Refusal) -> Problem:
    return Problem(exc.status_code, exc.code, str(exc.detail), exc.retryable, facts=exc.facts)


@problem_of.register
def _(exc: drf.ValidationError) -> Problem:
    return _validation(tuple(_flatten(exc.get_full_details())))


@problem_of.register
def _(exc: django_exceptions.ValidationError) -> Problem:
    if hasattr(exc, "error_dict"):
        by_field = {name: _django_errors(found) for name, found in exc.error_dict.items()}
        by_field[""] = by_field.pop(django_exceptions.NON_FIELD_ERRORS, [])
        return _validation(tuple(_flatten(by_field)))
    return _validation(tuple(_flatten(_django_errors(exc.error_list))))


@problem_of.register
def _(exc: drf.APIException) -> Problem:
    # A library's own refusal: its status and code are all that is known of it.
    code = str(getattr(exc.detail, "code", None) or exc.default_code).upper()
    return Problem(exc.status_code, code, str(exc.detail), exc.status_code in _RETRYABLE)


@problem_of.register
def _(exc: drf.ParseError) -> Problem:
    return Problem(400, "MALFORMED_JSON", str(exc.detail))


@problem_of.register
def _(exc: drf.NotAuthenticated) -> Problem:
    # In the words of those who find it out before DRF does.
    return problem_of(NotSignedIn())


@problem_of.register
def _(exc: drf.AuthenticationFailed) -> Problem:
    return Problem(401, "NOT_AUTHENTICATED", str(exc.detail))


@problem_of.register
def _(exc: drf.PermissionDenied | django_exceptions.PermissionDenied) -> Problem:
    return _built_in("FORBIDDEN")


@problem_of.register
def _(exc: drf.NotFound | Http404) -> Problem:
    return _built_in("NOT_FOUND")


@problem_of.register
def _(exc: drf.MethodNotAllowed) -> Problem:
    return _built_in("METHOD_NOT_ALLOWED", str(exc.detail))


@problem_of.register
def _(exc: drf.NotAcceptable) -> Problem:
    return _built_in("NOT_ACCEPTABLE")


@problem_of.register
def _(exc: drf.UnsupportedMediaType) -> Problem:
    return _built_in("UNSUPPORTED_MEDIA_TYPE")


@problem_of.register
def _(exc: drf.Throttled) -> Problem:
    wait = int(getattr(exc, "wait", None) or RETRY_AFTER_SECONDS)
    return _built_in("THROTTLED", str(exc.detail), retry_after=wait)


@problem_of.register
def _(exc: django_exceptions.RequestDataTooBig) -> Problem:
    return Problem(413, "BODY_TOO_LARGE", "The body is larger than the limit.")


@problem_of.register
def _(
    exc: django_exceptions.SuspiciousOperation
    | django_exceptions.BadRequest
    | MultiPartParserError
    | RawPostDataException
    | UnreadablePostError,
) -> Problem:
    return _built_in("BAD_REQUEST")


@problem_of.register
def _(
    exc: OperationalError
    | InterfaceError
    | redis.exceptions.ConnectionError
    | redis.exceptions.TimeoutError,
) -> Problem:
    return _built_in("DEPENDENCY_UNAVAILABLE")


@problem_of.register
def _(exc: DataError) -> Problem:
    # Serializers refuse first; this keeps what one of them let through from being a 500.
    logger.warning("The database refused a value that no serializer refused: %s", exc)
    return _validation((_error("", "invalid", "A value is outside what can be stored."),))


@problem_of.register
def _(exc: IntegrityError) -> Problem:
    # Two requests that pass the same check side by side: the database refuses the second.
    logger.warning("The database refused what no check refused: %s", exc)
    state = getattr(exc.__cause__, "sqlstate", "")
    if state == _CHECK_VIOLATION:
        constraint = exc.__cause__.diag.constraint_name  # type: ignore[union-attr]  # psycopg's.
        return _validation((_error("", str(constraint), "Values break a rule of the model."),))
    return _built_in("CONFLICT" if state in _CONFLICTS else "INTERNAL_ERROR")


def _validation(errors: tuple[dict[str, str], ...]) -> Problem:
    _, detail = BUILT_IN["VALIDATION_FAILED"]
    return Problem(422, "VALIDATION_FAILED", detail, errors=errors)


def _error(path: str, code: str, detail: str) -> dict[str, str]:
    return {"field": path, "code": code, "detail": detail}


def _django_errors(found: Sequence[django_exceptions.ValidationError]) -> list[dict[str, str]]:
    return [
        {"message": " ".join(error.messages), "code": str(error.code or "invalid")}
        for error in found
    ]


def _flatten(details: Any, path: str = "") -> Iterator[dict[str, str]]:
    """Every leaf `{message, code}` of DRF's nested details, with its path as `a.b[0]`."""
    if _is_leaf(details):
        yield _error(path, str(details["code"]), str(details["message"]))
    elif isinstance(details, dict):
        for name, inner in details.items():
            yield from _flatten(inner, path if name == "non_field_errors" else _join(path, name))
    elif isinstance(details, list):
        for index, inner in enumerate(details):
            yield from _flatten(inner, path if _is_leaf(inner) else f"{path}[{index}]")


def _is_leaf(details: Any) -> bool:
    # A serializer may have fields of these names too; theirs hold lists.
    return isinstance(details, dict) and isinstance(details.get("message"), str)


def _join(path: str, name: object) -> str:
    # DRF's ListSerializer keys an item's errors by its index.
    if isinstance(name, int):
        return f"{path}[{name}]"
    return f"{path}.{name}" if path and name else f"{path}{name}"


def render(problem: Problem, request_id: str) -> HttpResponse:
    """The answer. ASCII, so that no string in it can fail to be encoded."""
    body: dict[str, Any] = {
        "type": TYPE_BASE + problem.code,
        "title": problem.code.replace("_", " ").capitalize(),
        "status": problem.status,
        "detail": problem.detail,
        "code": problem.code,
        "retryable": problem.retryable,
        "request_id": request_id,
    }
    if problem.errors:
        body["errors"] = list(problem.errors)
    facts = {name: fact for name, fact in problem.facts.items() if name not in body}
    text = json.dumps({**body, **facts}, cls=JSONEncoder)
    response = HttpResponse(text, status=problem.status, content_type=MEDIA_TYPE)
    response.headers["Content-Length"] = str(len(response.content))
    for name, value in _headers(problem).items():
        response.headers[name] = value
    return response


def _headers(problem: Problem) -> dict[str, str]:
    if problem.status == 401:
        error = ', error="invalid_token"' if problem.code.startswith("TOKEN_") else ""
        return {"WWW-Authenticate": f'Bearer realm="signalbox"{error}'}
    if problem.status in {429, 503}:
        return {"Retry-After": str(problem.facts.get("retry_after", RETRY_AFTER_SECONDS))}
    return {}


def problem_response(exc: Exception, request: HttpRequest | None) -> HttpResponse:
    """The answer to an exception; an internal error is logged here, with the request's id."""
    problem = problem_of(exc)
    request_id = request_id_of(request)
    if problem.status == 500:
        logger.error("Internal error of request %s", request_id, exc_info=exc)
        got_request_exception.send(sender=None, request=request)
    elif problem.status == 503:
        logger.warning("Request %s met %s: %s", request_id, problem.code, exc)
    return render(problem, request_id)


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse:
    """DRF's door to `problem_response`."""
    request = context["request"]
    return problem_response(exc, getattr(request, "_request", request))
