"""When a schedule runs next: every so many minutes, or by a crontab in a time zone; pure.

Where the clock changes, a crontab does what Debian's cron does. One of a fixed time runs once a
day: at a time that is left out in spring it runs when the clock has gone on, at one that comes
twice in autumn it runs the first time. One with a star for its minutes or its hours runs as often
as the time that has really passed. An interval knows no clock, only time that passes.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from cronsim import CronSim, CronSimError
from django.core.exceptions import ValidationError

FIELDS = 5


def check_zone(name: str) -> None:
    """Nothing, if it is a time zone of the IANA's. Raises a ValidationError."""
    if name not in _zones():
        raise ValidationError(
            "It is no time zone; give one as Europe/Berlin or UTC.", code="time_zone"
        )


def check_crontab(text: str) -> None:
    """Nothing, if it is empty or a crontab whose time ever comes. Raises a ValidationError."""
    if not text:
        return
    try:
        if len(text.split()) != FIELDS:
            raise CronSimError(f"It has {len(text.split())} fields")
        if next(CronSim(text, datetime(2000, 1, 1, tzinfo=UTC)), None) is None:
            raise CronSimError("Its time never comes")
    except CronSimError as error:
        raise ValidationError(
            f"{error}; give five fields: minute, hour, day of month, month, day of week.",
            code="crontab",
        ) from error


def first_after(now: datetime, *, crontab: str, zone: str) -> datetime:
    """The first time of a crontab after now, in UTC."""
    # At the hour that comes twice the library begins with the first one again.
    begin = now.astimezone(ZoneInfo(zone))
    times = (each.astimezone(UTC) for each in CronSim(crontab, begin))
    return next(each for each in times if each > now)


def next_of_grid(due: datetime, now: datetime, *, every: timedelta) -> datetime:
    """The first after now of the times that are whole intervals after the due one."""
    return due + every * ((now - due) // every + 1)


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())
