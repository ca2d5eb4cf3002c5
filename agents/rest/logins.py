"""Checks passwords, of which each address may be wrong about only so many a minute."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.http import HttpRequest

from agents.rest import local_rates, rates
from agents.rest.addresses import address_of
from agents.rest.rates import Count, Rate, RatesAway
from agents.rest.refusals import LoginThrottled


class ThrottledPasswords(ModelBackend):
    """Django's check of a password, for every form and page that signs somebody in.

    An attempt is counted before the password is looked at, so that many at once are not more
    guesses than one after the other, and given back if the password was right.
    """

    def authenticate(
        self,
        request: HttpRequest | None,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """The person, or None. Raises LoginThrottled."""
        is_asked = password is not None and settings.SIGNALBOX_FAILED_LOGINS_A_MINUTE
        if request is None or not is_asked:
            return super().authenticate(request, username, password, **kwargs)
        attempt = _begin(request)
        user = super().authenticate(request, username, password, **kwargs)
        if user is not None:
            attempt.give_back()
        return user

    async def aauthenticate(self, request: HttpRequest | None, *args: Any, **kwargs: Any) -> Any:
        """The same: Django's own would not come by here."""
        return await sync_to_async(self.authenticate)(request, *args, **kwargs)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One that was counted: in Redis in this slot, or with none in this process."""

    count: Count
    slot: int | None

    def give_back(self) -> None:
        if self.slot is None:
            local_rates.give_back(self.count)
            return
        try:
            rates.give_back(self.count, self.slot)
        except RatesAway:
            return  # The address may be wrong once less in this minute.


def _begin(request: HttpRequest) -> _Attempt:
    rate = Rate("failed-logins", settings.SIGNALBOX_FAILED_LOGINS_A_MINUTE)
    count = Count(rate, address_of(request))
    try:
        verdict = rates.take(count)
    except RatesAway:
        wait, slot = local_rates.take(count), None
    else:
        wait, slot = verdict.wait, verdict.slot
    if wait:
        raise LoginThrottled(retry_after=wait, limit=rate.limit)
    return _Attempt(count, slot)
