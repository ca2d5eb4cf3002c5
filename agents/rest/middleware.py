"""Around every request: its id, and problem+json for whatever error an API path answers with."""

from collections.abc import Awaitable, Callable

import structlog
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from agents.rest import request_id
from agents.rest.problems import of_status, problem_response, render
from agents.rest.refusals import BadCharacters, LoginThrottled

API_PREFIX = "/api/"
# Answers of these types are already what a program can read.
_READABLE = ("application/problem+json", "application/json", "text/event-stream")
_KEPT_HEADERS = ("Allow", "Retry-After", "WWW-Authenticate")

_Answer = HttpResponseBase | Awaitable[HttpResponseBase]


class ProblemMiddleware:
    """Native under asyncio: a request that waits holds no thread here."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], _Answer]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> _Answer:
        if self.is_async:
            return self._awaited(request)
        answer = _entered(request) or self.get_response(request)
        assert isinstance(answer, HttpResponseBase)
        return _left(request, answer)

    async def _awaited(self, request: HttpRequest) -> HttpResponseBase:
        answer = _entered(request) or self.get_response(request)
        return _left(request, answer if isinstance(answer, HttpResponseBase) else await answer)

    def process_exception(self, request: HttpRequest, exc: Exception) -> HttpResponseBase | None:
        """What a plain view under the API raised; Django shows the rest its own way."""
        if _is_api(request):
            return problem_response(exc, request)
        return _to_a_person(exc) if isinstance(exc, LoginThrottled) else None


# Settings name middleware as what it is, a function from the next one to this one.
problem_middleware = ProblemMiddleware


def _to_a_person(exc: LoginThrottled) -> HttpResponse:
    """A page of one sentence; what a program needs is in its headers."""
    wait = {"Retry-After": str(exc.facts["retry_after"])}
    return HttpResponse(str(exc.detail), "text/plain; charset=utf-8", exc.status_code, headers=wait)


def _is_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(API_PREFIX)


def _entered(request: HttpRequest) -> HttpResponseBase | None:
    """Name the request; an answer only if no view may see it."""
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=request_id.assign(request))
    query = request.META.get("QUERY_STRING", "")
    if _is_api(request) and ("\0" in request.path_info or "%00" in query or "\0" in query):
        # PostgreSQL refuses NUL in text, so that a filter by one would be an internal error.
        return problem_response(BadCharacters(), request)
    return None


def _left(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    """The answer with its id, as a problem if it is a page about an error."""
    name = request_id.request_id_of(request)
    media_type = answer.headers.get("Content-Type", "")
    if _is_api(request) and answer.status_code >= 400 and not media_type.startswith(_READABLE):
        answer = _readable(answer, name)
    answer.headers["X-Request-Id"] = name
    return answer


def _readable(page: HttpResponseBase, name: str) -> HttpResponseBase:
    problem = render(of_status(page.status_code), name)
    for header in _KEPT_HEADERS:
        if header in page.headers:
            problem.headers[header] = page.headers[header]
    problem.cookies = page.cookies
    return problem
