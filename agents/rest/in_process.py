"""Calls a view of the API from within the process, as a caller who needs no token for it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpResponse
from django.template.response import SimpleTemplateResponse

from agents.rest.authentication import Caller, let_in
from agents.rest.parsers import MEDIA_TYPE
from agents.rest.problems import problem_response

View = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Call:
    """What is asked of a view. `key` is an idempotency key, `request_id` names it in logs."""

    method: str
    path: str
    kwargs: Mapping[str, Any]
    query: Mapping[str, str] = field(default_factory=dict)
    body: Mapping[str, Any] | None = None
    key: str = ""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a view answered; `body` is its JSON, None where it had none."""

    status: int
    body: Any

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


def problem_of_call(exc: Exception, call: Call) -> Answer:
    """The answer to a call that failed before any view was asked."""
    response = problem_response(exc, _request(call))
    return Answer(response.status_code, json.loads(response.content))


def ask(view: View, call: Call, caller: Caller) -> Answer:
    """The answer to the call: the view's own guards, shapes, transaction and problems.

    No middleware runs, since there is nothing of HTTP for it to look at.
    """
    request = _request(call)
    let_in(request, caller)
    response: HttpResponse = view(request, **call.kwargs)
    if isinstance(response, SimpleTemplateResponse):
        response.render()
    return Answer(response.status_code, json.loads(response.content) if response.content else None)


class _Request(WSGIRequest):
    """A request that came from no host, whatever hosts the installation answers to."""

    def get_host(self) -> str:
        return "in-process.invalid"


def _request(call: Call) -> WSGIRequest:
    content = b"" if call.body is None else json.dumps(dict(call.body)).encode()
    headers = {"HTTP_IDEMPOTENCY_KEY": call.key, "HTTP_X_REQUEST_ID": call.request_id}
    return _Request(
        {
            "REQUEST_METHOD": call.method,
            "PATH_INFO": call.path,
            "QUERY_STRING": urlencode(call.query),
            "CONTENT_TYPE": MEDIA_TYPE if content else "",
            "CONTENT_LENGTH": str(len(content)),
            "SERVER_NAME": "in-process.invalid",
            "SERVER_PORT": "80",
            "wsgi.input": io.BytesIO(content),
            "wsgi.url_scheme": "http",
            **{name: text for name, text in headers.items() if text},
        }
    )
