"""Requests that are carried out once, however often they are sent."""

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest
from django.utils import timezone
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from agents.models import IdempotencyKey
from agents.rest.authentication import Caller
from agents.rest.follow_up import FollowedUp
from agents.rest.refusals import IdempotencyInFlight, IdempotencyKeyInvalid, IdempotencyMismatch

LIFETIME = timedelta(hours=24)
LONGEST_KEY = 255
# Longer than any follow-up: by then its process is gone, and the first answer stands.
FOLLOW_UP_LASTS = timedelta(seconds=60)
LOCK_WAIT = timedelta(seconds=10)
_KEPT_HEADERS = ("Location", "ETag")
_PRUNED_AT_ONCE = 1000
_LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, slots=True)
class Scope:
    """Which request this is: one caller, method, path and key; and what its body was."""

    caller: str
    method: str
    path: str
    key: str
    body_digest: str
    lifetime: timedelta = LIFETIME

    @property
    def lock(self) -> int:
        """The number of its advisory lock: 64 bits of a hash, in PostgreSQL's signed range."""
        name = json.dumps([self.caller, self.method, self.path, self.key])
        return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


def key_of(request: HttpRequest | Request) -> str | None:
    """The key that the client sent, under either name. Raises IdempotencyKeyInvalid."""
    names = ("HTTP_IDEMPOTENCY_KEY", "HTTP_X_IDEMPOTENCY_KEY")
    sent = {request.META[name] for name in names if name in request.META}
    if not sent:
        return None
    key: str = sent.pop()
    if sent or not 1 <= len(key) <= LONGEST_KEY or not (key.isascii() and key.isprintable()):
        raise IdempotencyKeyInvalid(longest=LONGEST_KEY)
    return key


def scope_for(
    caller: Caller, request: HttpRequest | Request, body: Any, header: str | None
) -> Scope | None:
    """The scope of a start: by the client's key, else by a short-lived one made from the body.

    None if there is no key and EXECUTION_DEDUPE_SECONDS is 0.
    """
    if header is not None:
        return _scope(caller, request, body, header)
    lifetime = timedelta(seconds=settings.EXECUTION_DEDUPE_SECONDS)
    if not lifetime:
        return None
    # The body's digest is the key, so that another body is another start and never a mismatch.
    return _scope(caller, request, body, f"derived:{_digest(body)}", lifetime)


def start_once(
    scope: Scope | None, start: Callable[[], UUID], *, lifetime: timedelta | None = None
) -> tuple[UUID, bool]:
    """`(the execution, whether it was there already)`; `start` runs in the same transaction.

    Waits for a start with the same key that is under way. Raises IdempotencyInFlight after
    `LOCK_WAIT`, IdempotencyMismatch, and whatever `start` raises, which leaves the key unused.
    """
    with transaction.atomic():
        if scope is None:
            return start(), False
        _wait_for_lock(scope)
        row = _live_row(scope)
        if row is not None and row.execution_id is not None:
            return row.execution_id, True
        execution_id = start()
        _remember(scope, lifetime or scope.lifetime, execution_id=execution_id)
        return execution_id, False


class IdempotentMixin:
    """Every request of `once_methods` runs in one transaction, and with a key only once.

    The first answer is given again, without the fields named in `secret_fields`. An answer of
    400 or more undoes what was written, and does not use up its key. Those of
    `starting_actions` start an execution, and do it by `start_once` themselves.
    """

    secret_fields: Iterable[str] = ()
    starting_actions: Iterable[str] = ()
    once_methods: Collection[str] = ("POST",)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)  # type: ignore[misc]  # APIView's.
        name = str(request.method).lower()
        method = getattr(self, name, None)
        starts = getattr(self, "action", "") in set(self.starting_actions)
        if request.method in self.once_methods and method is not None and not starts:
            # The view object lives for this one request; `dispatch` looks its method up next.
            setattr(self, name, _once(method, request, frozenset(self.secret_fields)))


def _once(
    method: Callable[..., Response], request: Request, secrets: frozenset[str]
) -> Callable[..., Response]:
    def carry_out(*args: Any, **kwargs: Any) -> Response:
        key = key_of(request)
        if key is None or not isinstance(request.auth, Caller):
            with transaction.atomic():
                response = _undone_if_refused(method(*args, **kwargs))
            return response.follow_up() if isinstance(response, FollowedUp) else response
        scope = _scope(request.auth, request, request.data, key)
        with transaction.atomic():
            response = _first_answer(scope, lambda: method(*args, **kwargs), secrets)
        if isinstance(response, FollowedUp):
            return _followed_up(scope, response, secrets)
        return response

    return carry_out


def _first_answer(
    scope: Scope, answer: Callable[[], Response], secrets: frozenset[str]
) -> Response:
    _try_lock(scope)
    row = _live_row(scope)
    if row is not None:
        return _replayed(row)
    response = _undone_if_refused(answer())
    if isinstance(response, FollowedUp):
        _remember_response(scope, response, secrets, settles_at=timezone.now() + FOLLOW_UP_LASTS)
    elif response.status_code < 400:
        _remember_response(scope, response, secrets)
    return response


def _followed_up(scope: Scope, response: FollowedUp, secrets: frozenset[str]) -> Response:
    """What came of it, which a repeat is told too; a failure does not use up the key."""
    try:
        answer = response.follow_up()
    except Exception:
        _rows(scope).delete()
        raise
    with transaction.atomic():
        _remember_response(scope, answer, secrets)
    return answer


def prune_expired() -> int:
    """Remove what is past its time, a thousand rows a transaction; how many there were."""
    removed = 0
    while True:
        rows = IdempotencyKey.objects.filter(expires_at__lte=timezone.now())
        count, _ = IdempotencyKey.objects.filter(
            id__in=list(rows.values_list("id", flat=True)[:_PRUNED_AT_ONCE])
        ).delete()
        removed += count
        if count < _PRUNED_AT_ONCE:
            return removed


def _scope(
    caller: Caller,
    request: HttpRequest | Request,
    body: Any,
    key: str,
    lifetime: timedelta = LIFETIME,
) -> Scope:
    return Scope(
        caller=caller.idempotency_name,
        method=str(request.method),
        path=request.path,
        key=key,
        body_digest=_digest(body),
        lifetime=lifetime,
    )


def _digest(body: Any) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), cls=JSONEncoder)
    return hashlib.sha256(text.encode()).hexdigest()


def _try_lock(scope: Scope) -> None:
    """Until the end of the transaction, or not at all. A process that dies leaves none behind."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_xact_lock(%s)", [scope.lock])
        if not cursor.fetchone()[0]:
            raise IdempotencyInFlight


def _wait_for_lock(scope: Scope) -> None:
    """Until the end of the transaction; `start` runs with the lock timeout that was there."""
    milliseconds = LOCK_WAIT // timedelta(milliseconds=1)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('lock_timeout', %s, true)", [str(milliseconds)])
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [scope.lock])
            cursor.execute("SET LOCAL lock_timeout TO DEFAULT")
    except OperationalError as exc:
        if getattr(exc.__cause__, "sqlstate", "") != _LOCK_NOT_AVAILABLE:
            raise
        raise IdempotencyInFlight from exc


def _rows(scope: Scope) -> Any:
    return IdempotencyKey.objects.filter(
        caller=scope.caller, method=scope.method, path=scope.path, key=scope.key
    )


def _live_row(scope: Scope) -> IdempotencyKey | None:
    """What is remembered under the lock.

    Raises IdempotencyMismatch for another body, IdempotencyInFlight while a first answer is not
    known yet.
    """
    row: IdempotencyKey | None = _rows(scope).filter(expires_at__gt=timezone.now()).first()
    if row is not None and row.body_digest != scope.body_digest:
        if row.execution_id is None:
            raise IdempotencyMismatch
        raise IdempotencyMismatch(exec_id=row.execution_id)
    if row is not None and row.settles_at is not None and row.settles_at > timezone.now():
        raise IdempotencyInFlight
    return row


def _remember(scope: Scope, lifetime: timedelta, **answer: Any) -> None:
    # One that has expired makes room; the lock lets nobody else write in between.
    _rows(scope).delete()
    IdempotencyKey.objects.create(
        caller=scope.caller,
        method=scope.method,
        path=scope.path,
        key=scope.key,
        body_digest=scope.body_digest,
        expires_at=timezone.now() + lifetime,
        **answer,
    )


def _remember_response(
    scope: Scope, response: Response, secrets: frozenset[str], settles_at: datetime | None = None
) -> None:
    body = response.data
    if isinstance(body, Mapping):
        body = {name: value for name, value in body.items() if name not in secrets}
    _remember(
        scope,
        scope.lifetime,
        settles_at=settles_at,
        response_status=response.status_code,
        response_headers={name: response[name] for name in _KEPT_HEADERS if name in response},
        response_body=None if body is None else json.loads(JSONRenderer().render(body)),
    )


def _replayed(row: IdempotencyKey) -> Response:
    headers = {**row.response_headers, "Idempotency-Replayed": "true"}
    return Response(row.response_body, status=row.response_status, headers=headers)


def _undone_if_refused(response: Response) -> Response:
    if response.status_code >= 400:
        transaction.set_rollback(True)
    return response
