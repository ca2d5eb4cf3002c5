"""Which rates a request has to keep to: its caller's, and those of the address it comes from.

Without Redis the rates of requests are open, since work goes on without it, and failed
authentications are counted by each process for itself, since that is where guesses are stopped.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from agents.models.credentials import digest
from agents.rest import local_rates, rates
from agents.rest.addresses import address_of
from agents.rest.rates import Count, Rate, RatesAway
from agents.rest.refusals import AuthenticationThrottled, TooManyRequests

# Of a request whose caller was let in: a stream asks again and again whether it may still read.
_LET_IN = "_signalbox_let_in"


def admit_token(request: HttpRequest, token: str) -> None:
    """Count a request by its token, before that is looked up. Raises TooManyRequests."""
    _admit(request, _of_token(token))


def admit_person(request: HttpRequest, user_id: Any) -> None:
    """Count a request by who is signed in. Raises TooManyRequests."""
    _admit(request, Count(_requests(), f"member:{user_id}"))


def admit_address(request: HttpRequest, rate: Rate | None = None) -> None:
    """Count a request by its address, in a rate of its own if it has one.

    Raises TooManyRequests.
    """
    _admit(request, Count(rate or _requests(), f"address:{address_of(request)}"))


def let_in(request: HttpRequest) -> None:
    """Its caller is known: whoever looks at the same request again counts nothing."""
    setattr(request, _LET_IN, True)


def note_failure(request: HttpRequest, token: str) -> None:
    """Count a token that was no good, and forget its requests.

    Raises AuthenticationThrottled after too many of them from the address.
    """
    if _was_let_in(request):
        return
    wait = _noted(Count(_failures(), address_of(request)), _of_token(token))
    if wait:
        raise AuthenticationThrottled(retry_after=wait, limit=_failures().limit)


class AddressThrottle(BaseThrottle):
    """DRF's door to `admit_address`, for views that ask nobody who they are."""

    def allow_request(self, request: Request, view: Any) -> bool:
        admit_address(request._request)
        return True


def _requests() -> Rate:
    return Rate("requests", settings.SIGNALBOX_REQUESTS_A_MINUTE)


def _failures() -> Rate:
    return Rate("failed-tokens", settings.SIGNALBOX_FAILED_TOKENS_A_MINUTE)


def _of_token(token: str) -> Count:
    """Only who has the secret has this count; Redis does not learn the secret by it."""
    return Count(_requests(), f"token:{digest(token)}")


def _was_let_in(request: HttpRequest) -> bool:
    return bool(getattr(request, _LET_IN, False))


def _admit(request: HttpRequest, count: Count) -> None:
    if _was_let_in(request) or not count.rate.limit:
        return
    try:
        verdict = rates.take(count)
    except RatesAway:
        return
    if verdict.wait:
        raise TooManyRequests(retry_after=verdict.wait, limit=count.rate.limit)


def _noted(failures: Count, token: Count) -> int:
    """Seconds until the address may be wrong again; 0 where it may."""
    try:
        rates.forget(token)
        return rates.note(failures).wait if failures.rate.limit else 0
    except RatesAway:
        return local_rates.take(failures) if failures.rate.limit else 0
