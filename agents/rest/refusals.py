"""Refusals that any REST request can meet, whatever its view does."""

from agents.errors import Refusal


class NotSignedIn(Refusal):
    """Sign in, or send an integration key or an agent token."""

    code = "NOT_AUTHENTICATED"
    status_code = 401


class TokenInvalid(Refusal):
    """No key or token has this secret."""

    code = "TOKEN_INVALID"
    status_code = 401


class TokenExpired(Refusal):
    """The key or token has expired."""

    code = "TOKEN_EXPIRED"
    status_code = 401


class TokenRevoked(Refusal):
    """The key or token was revoked."""

    code = "TOKEN_REVOKED"
    status_code = 401


class TooManyRequests(Refusal):
    """There were too many requests in the last minute."""

    code = "THROTTLED"
    status_code = 429
    retryable = True


class AuthenticationThrottled(Refusal):
    """Too many failed authentications from this address."""

    code = "THROTTLED"
    status_code = 429
    retryable = True


class LoginThrottled(Refusal):
    """Too many wrong passwords came from this address; wait a moment, then try again."""

    code = "THROTTLED"
    status_code = 429
    retryable = True


class CsrfFailed(Refusal):
    """A signed-in person's change needs the token of its site in the X-CSRFToken header."""

    code = "CSRF_FAILED"
    status_code = 403


class OrganizationRequired(Refusal):
    """Name the organization in the X-Organization header."""

    code = "ORGANIZATION_REQUIRED"
    status_code = 400


class OrganizationNotFound(Refusal):
    """There is no such organization for this caller."""

    code = "ORGANIZATION_NOT_FOUND"
    status_code = 404


class NoOrganization(Refusal):
    """This person is a member of no organization yet."""

    code = "NO_ORGANIZATION"
    status_code = 403


class AgentsNotAllowed(Refusal):
    """Operator endpoints are closed to agents; their own API is /api/v0/agent."""

    code = "AGENTS_NOT_ALLOWED"
    status_code = 403


class RoleTooLow(Refusal):
    """The caller's role does not reach this."""

    code = "ROLE_TOO_LOW"
    status_code = 403


class ScopeMissing(Refusal):
    """The key's scopes do not allow this."""

    code = "SCOPE_MISSING"
    status_code = 403


class BodyIncomplete(Refusal):
    """The body did not come to its end."""

    code = "BODY_INCOMPLETE"
    status_code = 400


class BodyTooLarge(Refusal):
    """The body is larger than the limit."""

    code = "BODY_TOO_LARGE"
    status_code = 413


class MalformedJson(Refusal):
    """The body is not the strict JSON of RFC 8259."""

    code = "MALFORMED_JSON"
    status_code = 400


class BadCharacters(Refusal):
    """The path and the query hold no NUL characters."""

    code = "BAD_CHARACTERS"
    status_code = 400


class LimitInvalid(Refusal):
    """The limit is a whole number in its range."""

    code = "LIMIT_INVALID"
    status_code = 400


class CursorInvalid(Refusal):
    """The cursor is not one that a list of this kind gave."""

    code = "CURSOR_INVALID"
    status_code = 400


class UnknownParameter(Refusal):
    """The query has parameters that this endpoint does not know."""

    code = "UNKNOWN_PARAMETER"
    status_code = 400


class UnknownEvents(Refusal):
    """No such type of event is ever written."""

    code = "UNKNOWN_EVENTS"
    status_code = 400


class PlaceInvalid(Refusal):
    """That is not the `id` of an event of such a stream."""

    code = "PLACE_INVALID"
    status_code = 400


class PreconditionFailed(Refusal):
    """It has changed since it was read; read it again."""

    code = "PRECONDITION_FAILED"
    status_code = 412


class IdempotencyKeyInvalid(Refusal):
    """An idempotency key has 1 to 255 printable ASCII characters and is sent once."""

    code = "IDEMPOTENCY_KEY_INVALID"
    status_code = 400


class IdempotencyInFlight(Refusal):
    """The first request with this key is still being carried out."""

    code = "IDEMPOTENCY_IN_FLIGHT"
    retryable = True


class IdempotencyMismatch(Refusal):
    """This key was used for another body."""

    code = "IDEMPOTENCY_MISMATCH"
    status_code = 422
