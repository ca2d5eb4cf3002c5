"""Who calls: a signed-in person, an integration key or an agent token, as one `Caller`."""

import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypeVar, cast
from uuid import UUID

from django.contrib.auth import get_user
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.middleware.csrf import CsrfViewMiddleware
from django.utils import timezone
from django.utils.functional import SimpleLazyObject
from django.utils.http import parse_header_parameters
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request

from agents.activity import Actor
from agents.models import (
    ActorKind,
    Agent,
    AgentToken,
    IntegrationKey,
    Membership,
    Organization,
    Role,
    User,
)
from agents.models.credentials import digest
from agents.rest import throttle
from agents.rest.refusals import (
    AuthenticationThrottled,
    CsrfFailed,
    NotSignedIn,
    OrganizationNotFound,
    OrganizationRequired,
    TokenExpired,
    TokenInvalid,
    TokenRevoked,
)

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
USED_EVERY = timedelta(minutes=1)
SEEN_EVERY = timedelta(seconds=30)
_Credential = TypeVar("_Credential", IntegrationKey, AgentToken)
# Of a request object, which headers cannot set.
_LET_IN = "_signalbox_caller"
_TOKEN = re.compile(r"(sbk|sba)_([0-9a-f]{16})_([A-Za-z0-9_-]{16,128})")


@dataclass(frozen=True, slots=True)
class Within:
    """The execution that calls for its agent, and the board that it is on."""

    execution_id: UUID
    board_id: UUID | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who made a request, and in which organization. No scopes means all that the role allows.

    `organization` and `role` are empty for a person who is a member of none, or at an endpoint
    that needs none; `role` is empty for an agent. `within` is of agents that Signalbox runs.
    """

    kind: ActorKind
    id: UUID
    name: str
    organization: Organization | None
    role: Role | None
    scopes: frozenset[str]
    agent: Agent | None
    within: Within | None = None

    @property
    def actor(self) -> Actor:
        """The caller as the permanent record names it."""
        return Actor(self.kind, self.id, self.name)

    @property
    def idempotency_name(self) -> str:
        """Whose idempotency keys these are. A person's differ by organization: 72 characters."""
        where = f"@{self.organization.id.hex}" if self.organization else ""
        return f"{self.kind.value}:{self.id.hex}{where}"


@dataclass(frozen=True, slots=True)
class Principal:
    """What stands in for Django's user when a program calls."""

    pk: UUID
    name: str
    is_authenticated: bool = True
    is_anonymous: bool = False
    is_active: bool = True
    is_staff: bool = False

    def __str__(self) -> str:
        return self.name


class CallerAuthentication(BaseAuthentication):
    """DRF's door to `authenticate`: `request.auth` is the caller.

    A request without any credentials passes as nobody's, so that a public view may answer it.
    """

    def authenticate(self, request: Request) -> tuple[Any, Caller] | None:
        view = request.parser_context.get("view")
        plain = request._request
        known = getattr(plain, _LET_IN, None)
        if known is not None:
            return Principal(known.id, known.name), known
        if not presented(plain) and not plain.user.is_authenticated:
            throttle.admit_address(plain)
            return None
        caller = authenticate(plain, anywhere=getattr(view, "organization_optional", False))
        return _user_of(plain, caller), caller

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="signalbox"'


def let_in(request: HttpRequest, caller: Caller) -> None:
    """Say who makes a request that this process makes itself; nothing outside can say so."""
    setattr(request, _LET_IN, caller)


def as_agent(agent: Agent, within: Within | None = None) -> Caller:
    """The agent as a caller, in its organization."""
    return Caller(
        kind=ActorKind.AGENT,
        id=agent.id,
        name=agent.name,
        organization=agent.organization,
        role=None,
        scopes=frozenset(),
        agent=agent,
        within=within,
    )


def caller_of(request: Request) -> Caller:
    """The caller of a request that a permission let in."""
    caller = request.auth
    assert isinstance(caller, Caller)
    return caller


def authenticate(request: HttpRequest, *, anywhere: bool = False) -> Caller:
    """Who calls; `anywhere` lets a person of several organizations name none.

    A plain async view that asks it in a thread must be exempt from Django's CSRF check.

    Raises a 401 refusal for no or unusable credentials, 429 after many of them from one address
    or too many requests of one caller, CsrfFailed, OrganizationRequired, OrganizationNotFound.
    """
    caller = _found(request, anywhere=anywhere)
    throttle.let_in(request)
    return caller


def _found(request: HttpRequest, *, anywhere: bool) -> Caller:
    token = presented(request)
    if token:
        return _counted(request, token)
    if not request.user.is_authenticated:
        throttle.admit_address(request)
        raise NotSignedIn
    throttle.admit_person(request, request.user.pk)
    if request.method not in SAFE_METHODS:
        _enforce_csrf(request)
    return _by_session(request, request.user, anywhere=anywhere)


def forget_user(request: HttpRequest) -> None:
    """Have `authenticate` look anew at who is signed in, for a request that lasts."""
    request.session = type(request.session)(request.session.session_key)
    request.user = cast("User", SimpleLazyObject(lambda: get_user(request)))


def presented(request: HttpRequest) -> str:
    """The token that the request carries; empty if it carries none."""
    agent_token: str = request.META.get("HTTP_X_AGENT_TOKEN", "").strip()
    if agent_token:
        return agent_token
    header: str = request.META.get("HTTP_AUTHORIZATION", "")
    scheme, _, token = header.partition(" ")
    if not scheme:
        return ""
    # Another scheme is not ours to understand; it must not fall back to the session unnoticed.
    return token.strip() or scheme if scheme.lower() == "bearer" else scheme


def _user_of(request: HttpRequest, caller: Caller) -> Any:
    if caller.kind == ActorKind.MEMBER:
        return request.user
    return Principal(caller.id, caller.name)


def _counted(request: HttpRequest, token: str) -> Caller:
    """Who has the token. Its use is counted by token, its failure by address."""
    # Of a good key here nothing is counted, and its count is not forgotten as a wrong one's is.
    is_for_agents = bool(request.META.get("HTTP_X_AGENT_TOKEN", "").strip())
    if is_for_agents and token.startswith(f"{IntegrationKey.KIND}_"):
        raise TokenInvalid("This header takes an agent token.")
    try:
        return _by_token(request, token)
    except (TokenInvalid, TokenExpired, TokenRevoked) as failure:
        try:
            throttle.note_failure(request, token)
        except AuthenticationThrottled as throttled:
            raise throttled from failure
        raise


def _by_token(request: HttpRequest, token: str) -> Caller:
    found = _TOKEN.fullmatch(token)
    if found is None:
        raise TokenInvalid
    throttle.admit_token(request, token)
    kind, prefix, secret = found.groups()
    if kind == AgentToken.KIND:
        return _agent(request, prefix, secret)
    return _integration(request, prefix, secret)


def _integration(request: HttpRequest, prefix: str, secret: str) -> Caller:
    key = IntegrationKey.objects.select_related("organization").filter(prefix=prefix).first()
    key = _usable(key, secret)
    _require_slug(request, key.organization)
    return Caller(
        kind=ActorKind.KEY,
        id=key.id,
        name=key.name or key.prefix,
        organization=key.organization,
        role=Role(key.role),
        scopes=frozenset(key.scopes),
        agent=None,
    )


def _agent(request: HttpRequest, prefix: str, secret: str) -> Caller:
    tokens = AgentToken.objects.select_related("agent__organization")
    agent = _usable(tokens.filter(prefix=prefix).first(), secret).agent
    _require_slug(request, agent.organization)
    _touch(agent, "last_seen_at", SEEN_EVERY)
    return as_agent(agent)


def _usable(found: _Credential | None, secret: str) -> _Credential:
    """The credential if this is its secret. Only who knows the secret hears why it is refused."""
    if found is None or not hmac.compare_digest(found.digest, digest(secret)):
        raise TokenInvalid
    if found.revoked_at is not None:
        raise TokenRevoked
    if not found.is_usable:
        raise TokenExpired
    _touch(found, "last_used_at", USED_EVERY)
    return found


def _touch(row: IntegrationKey | AgentToken | Agent, field: str, every: timedelta) -> None:
    """Note the time of use, at most once in `every`: requests side by side write it once."""
    now = timezone.now()
    noted: datetime | None = getattr(row, field)
    if noted is not None and noted > now - every:
        return
    stale = Q(**{f"{field}__isnull": True}) | Q(**{f"{field}__lte": now - every})
    type(row)._default_manager.filter(stale, pk=row.pk).update(**{field: now})


def _require_slug(request: HttpRequest, organization: Organization) -> None:
    slug = request.META.get("HTTP_X_ORGANIZATION", "")
    if slug and slug != organization.slug:
        raise OrganizationNotFound


def _by_session(request: HttpRequest, user: User, *, anywhere: bool) -> Caller:
    memberships = list(user.memberships.select_related("organization").order_by("id"))
    membership = _chosen(request, memberships, anywhere=anywhere)
    return Caller(
        kind=ActorKind.MEMBER,
        id=user.id,
        name=user.get_full_name() or user.get_username(),
        organization=membership.organization if membership else None,
        role=Role(membership.role) if membership else None,
        scopes=frozenset(),
        agent=None,
    )


def _chosen(
    request: HttpRequest, memberships: list[Membership], *, anywhere: bool
) -> Membership | None:
    by_slug = {membership.organization.slug: membership for membership in memberships}
    slug = request.META.get("HTTP_X_ORGANIZATION", "")
    if slug:
        if slug not in by_slug:
            raise OrganizationNotFound
        return by_slug[slug]
    if len(memberships) > 1 and not anywhere:
        raise OrganizationRequired(organizations=sorted(by_slug))
    return memberships[0] if len(memberships) == 1 else None


class _CsrfCheck(CsrfViewMiddleware):
    """Django's check, which gives its reason instead of a page."""

    def _reject(self, request: HttpRequest, reason: str) -> str:
        return reason


def _enforce_csrf(request: HttpRequest) -> None:
    """What Django's middleware does for views that are not exempt; done once a request."""
    media_type, _ = parse_header_parameters(request.META.get("CONTENT_TYPE", ""))
    if media_type in {"multipart/form-data", "application/x-www-form-urlencoded"}:
        # The check would read the form for its token, and leave no body to refuse.
        raise UnsupportedMediaType(media_type)
    reason = _CsrfCheck(_unused).process_view(request, _unused, (), {})
    if reason:
        raise CsrfFailed(reason=str(reason))


def _unused(request: HttpRequest) -> HttpResponse:
    raise AssertionError("The check never goes on to a view.")
