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

# How long it is remembered that a token was good: for its requests the failures of others, who
# share its address, do not matter.
_KNOWN_SECONDS = 3600
# An address with so many times the failures that are answered as such has its unknown tokens
# refused before they are looked up.
_LOOK_UPS_A_FAILURE = 10
# Of a request whose caller was let in: a stream asks again and again whether it may still read.
_LET_IN = "_signalbox_let_in"


def admit_token(request: HttpRequest, token: str) -> None:
    """Count a request by its token, before that is looked up; in one round trip.

    Raises TooManyRequests; AuthenticationThrottled where far too many tokens from the address
    were wrong and this one is not known.
    """
    failures = _failures()
    look_ups = Rate(failures.name, failures.limit * _LOOK_UPS_A_FAILURE)
    if_new = Count(look_ups, address_of(request)) if look_ups.limit else None
    _admit(request, _of_token(token), if_new)


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
    """Count a token that was no good. Raises AuthenticationThrottled after too many of them."""
    failures = _failures()
    if not failures.limit or _was_let_in(request):
        return
    wait = _noted(Count(failures, address_of(request)), _of_token(token))
    if wait:
        raise AuthenticationThrottled(retry_after=wait, limit=failures.limit)


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
    return Count(_requests(), f"token:{digest(token)}", kept_seconds=_KNOWN_SECONDS)


def _was_let_in(request: HttpRequest) -> bool:
    return bool(getattr(request, _LET_IN, False))


def _admit(request: HttpRequest, count: Count, if_new: Count | None = None) -> None:
    if _was_let_in(request) or not (count.rate.limit or if_new):
        return
    try:
        verdict = rates.take(count, if_new=if_new)
    except RatesAway:
        return
    if verdict.full is None:
        return
    if verdict.full == count.rate:
        raise TooManyRequests(retry_after=verdict.wait, limit=count.rate.limit)
    raise AuthenticationThrottled(retry_after=verdict.wait, limit=_failures().limit)


def _noted(failures: Count, token: Count) -> int:
    try:
        rates.forget(token)
        verdict = rates.note(failures)
    except RatesAway:
        return local_rates.take(failures)
    return verdict.wait if verdict.full else 0
