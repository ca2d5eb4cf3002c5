"""The OpenAPI schema: what is true of every operation, added to what each view says of itself."""

from collections.abc import Iterator, Mapping
from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent
from drf_spectacular.utils import Direction, OpenApiParameter

from agents.errors import Refusal
from agents.rest.etag import EtagMixin
from agents.rest.problems import BUILT_IN, MEDIA_TYPE, TYPE_BASE, of_status

_WITH_BODY = {"POST", "PUT", "PATCH"}
# The code shown as the example of each status; what else a status can mean is in `code`'s list.
_EXAMPLES = {
    400: ("MALFORMED_JSON", "The body is not strict JSON: Expecting value: line 1 column 1."),
    401: ("TOKEN_INVALID", "No key or token has this secret."),
    403: ("ROLE_TOO_LOW", "The caller's role does not reach this."),
    404: ("NOT_FOUND", "There is no such thing here."),
    406: ("NOT_ACCEPTABLE", "Answers are JSON; accept application/json."),
    408: ("REQUEST_TIMEOUT", "The execution did not end in time; it goes on."),
    409: ("CONFLICT", "Something else with these values exists, or was changed meanwhile."),
    410: ("WEBHOOK_DISABLED", "The webhook is switched off."),
    412: ("PRECONDITION_FAILED", "It has changed since it was read; read it again."),
    413: ("BODY_TOO_LARGE", "The body is larger than the limit."),
    415: ("UNSUPPORTED_MEDIA_TYPE", "Send a body of the media type application/json."),
    422: ("VALIDATION_FAILED", "Some values cannot be accepted."),
    429: ("THROTTLED", "There were too many requests in the last minute."),
    503: ("DEPENDENCY_UNAVAILABLE", "The database or Redis is unavailable; try again."),
}
_FACTS: Mapping[str, Mapping[str, Any]] = {
    "ROLE_TOO_LOW": {"required": "admin", "actual": "viewer"},
    "BODY_TOO_LARGE": {"limit": settings.API_BODY_LIMIT},
    "THROTTLED": {"retry_after": 42, "limit": 12000},
    "VALIDATION_FAILED": {
        "errors": [
            {"field": "a.b[0]", "code": "required", "detail": "This field is required."},
        ]
    },
}
_RETRY_AFTER = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}}
_CHALLENGE = {"WWW-Authenticate": {"schema": {"type": "string"}}}


class SignalboxSchema(AutoSchema):
    """Adds problems, the headers that all operations share, and a summary from the docstring.

    A view names further statuses that it answers with a problem in `problem_statuses`: a
    collection, or one for each method or action.
    """

    def get_summary(self) -> str | None:
        """The first sentence of the description, where a view gives no summary of its own."""
        first = " ".join((self.get_description() or "").split("\n\n")[0].split())
        return first.split(". ")[0].rstrip(".") or None

    def get_override_parameters(self) -> list[Any]:
        # An agent's token says whose it is.
        chooses = self._is_authenticated() and not getattr(self.view, "is_for_agents", False)
        headers = [_organization_header()] if chooses else []
        is_once = getattr(self.view, "once_by_key", True)
        if is_once and self.method in {"POST", *getattr(self.view, "once_methods", ())}:
            headers.append(_idempotency_header())
        if self._is_conditional():
            headers.append(_if_match_header())
        return [*super().get_override_parameters(), *headers]

    def _map_basic_serializer(self, serializer: Any, direction: Direction) -> dict[str, Any]:
        schema: dict[str, Any] = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]  # It has no types.
        more = getattr(serializer, "of_requests", {}) if direction == "request" else {}
        return {**schema, **more}

    def _get_response_bodies(self, direction: Direction = "response") -> dict[str, Any]:
        responses: dict[str, Any] = super()._get_response_bodies(direction)
        codes = self._component("ProblemCode", {"type": "string", "enum": problem_codes()})
        problem = self._component("Problem", problem_schema(codes))
        for status in sorted(set(self._problem_statuses())):
            responses.setdefault(str(status), _problem_response(status, problem))
        return responses

    def _component(self, name: str, schema: dict[str, Any]) -> dict[str, Any]:
        """The reference to a schema of this name, which is there once."""
        component = ResolvedComponent(name, ResolvedComponent.SCHEMA, schema, object=name)  # type: ignore[no-untyped-call]  # It has no types.
        self.registry.register_on_missing(component)
        reference: dict[str, Any] = component.ref
        return reference

    def _is_authenticated(self) -> bool:
        return bool(self.view.get_authenticators())

    def _is_conditional(self) -> bool:
        if not isinstance(self.view, EtagMixin):
            return False
        named = getattr(self.view, "action", None) in self.view.conditional_actions
        return named or self.method == "PATCH"

    def _problem_statuses(self) -> Iterator[int]:
        yield from (400, 406, 429, 503)
        yield from self._declared_statuses()
        if self._is_authenticated():
            yield from (401, 403, 404)
        if "{" in self.path:
            yield 404
        if self._is_list_view():
            yield 422
        if self.method not in {"GET", "HEAD"}:
            yield 409
        if self.method in _WITH_BODY:
            yield from (413, 415, 422)
        if self._is_conditional():
            yield 412

    def _declared_statuses(self) -> Iterator[int]:
        # Of every class, since a path may be shared by several views.
        for parent in type(self.view).__mro__:
            declared = vars(parent).get("problem_statuses", ())
            if isinstance(declared, Mapping):
                action = getattr(self.view, "action", None)
                yield from (*declared.get(self.method, ()), *declared.get(action, ()))
            else:
                yield from declared


class CallerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # Its hook has no types.
    """The three ways to say who calls, any of which is enough."""

    target_class = "agents.rest.authentication.CallerAuthentication"
    name = ["session", "integrationKey", "agentToken"]

    def get_security_requirement(self, auto_schema: AutoSchema) -> list[dict[str, list[Any]]]:
        # Operator endpoints refuse agents; their own API takes nothing but their token.
        if getattr(auto_schema.view, "is_for_agents", False):
            return [{"agentToken": []}]
        return [{"session": []}, {"integrationKey": []}]

    def get_security_definition(self, auto_schema: AutoSchema) -> list[dict[str, Any]]:
        return [
            {
                "type": "apiKey",
                "in": "cookie",
                "name": settings.SESSION_COOKIE_NAME,
                "description": "A signed-in person; changes need the X-CSRFToken header too.",
            },
            {"type": "http", "scheme": "bearer", "description": "An integration key (`sbk_…`)."},
            {
                "type": "apiKey",
                "in": "header",
                "name": "X-Agent-Token",
                "description": "An agent's token (`sba_…`), for the agent API; also as Bearer.",
            },
        ]


def problem_codes() -> list[str]:
    """Every code that an answer of this process can have."""
    return sorted({*BUILT_IN, *(refusal.code for refusal in _all_below(Refusal))})


def _all_below(parent: type[Refusal]) -> Iterator[type[Refusal]]:
    for child in parent.__subclasses__():
        yield child
        yield from _all_below(child)


def problem_schema(codes: dict[str, Any]) -> dict[str, Any]:
    """The component `Problem`; facts stand beside the named members."""
    text = {"type": "string"}
    error = {
        "type": "object",
        "required": ["field", "code", "detail"],
        "properties": {"field": text, "code": text, "detail": text},
    }
    members = {
        "type": {"type": "string", "format": "uri-reference"},
        "title": text,
        "status": {"type": "integer"},
        "detail": text,
        "code": codes,
        "retryable": {"type": "boolean"},
        "request_id": text,
    }
    return {
        "type": "object",
        "description": "RFC 9457. `code` is stable; facts of the code stand beside these members.",
        "required": list(members),
        "properties": {**members, "errors": {"type": "array", "items": error}},
        "additionalProperties": True,
    }


def _problem_response(status: int, ref: dict[str, Any]) -> dict[str, Any]:
    unusual = of_status(status)
    code, detail = _EXAMPLES.get(status, (unusual.code, unusual.detail))
    example = {
        "type": TYPE_BASE + code,
        "title": code.replace("_", " ").capitalize(),
        "status": status,
        "detail": detail,
        "code": code,
        "retryable": status in {408, 429, 503},
        "request_id": "01890a5d-ac96-774b-bcce-b302099a8057",
        **_FACTS.get(code, {}),
    }
    content = {MEDIA_TYPE: {"schema": ref, "examples": {code: {"value": example}}}}
    headers = {401: _CHALLENGE, 429: _RETRY_AFTER, 503: _RETRY_AFTER}.get(status, {})
    answer: dict[str, Any] = {"description": detail, "content": content}
    return {**answer, "headers": headers} if headers else answer


def _organization_header() -> OpenApiParameter:
    return OpenApiParameter(
        "X-Organization",
        str,
        OpenApiParameter.HEADER,
        description="The organization's slug; needed by members of more than one.",
    )


def _idempotency_header() -> OpenApiParameter:
    return OpenApiParameter(
        "Idempotency-Key",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        OpenApiParameter.HEADER,
        description="The same key and body, sent again, give the first answer again for 24 hours.",
    )


def _if_match_header() -> OpenApiParameter:
    return OpenApiParameter(
        "If-Match",
        str,
        OpenApiParameter.HEADER,
        description="The ETag of the last read; another version is refused with 412.",
    )
