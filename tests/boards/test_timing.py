"""When schedules run next, also where clocks change; what is no crontab or no time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from boards.timing import check_crontab, check_zone, first_after, next_of_grid

START = datetime(2026, 3, 1, tzinfo=UTC)


def times(crontab: str, zone: str, after: str, count: int) -> list[str]:
    """The times that follow a local one, as the clock there shows them."""
    now = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    shown = []
    for _ in range(count):
        now = first_after(now, crontab=crontab, zone=zone)
        shown.append(now.astimezone(ZoneInfo(zone)).strftime("%m-%d %H:%M %z"))
    return shown


@pytest.mark.parametrize(
    ("zone", "crontab", "after", "expected"),
    [
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-03-28T00:00",
            ["03-28 02:30 +0100", "03-29 03:00 +0200", "03-30 02:30 +0200"],
        ),
        (
            "America/New_York",
            "30 2 * * *",
            "2026-03-07T00:00",
            ["03-07 02:30 -0500", "03-08 03:00 -0400", "03-09 02:30 -0400"],
        ),
        # Here the clock goes on by half an hour.
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2026-10-03T00:00",
            ["10-03 02:15 +1030", "10-04 02:30 +1100", "10-05 02:15 +1100"],
        ),
    ],
)
def test_a_time_that_is_left_out_in_spring_comes_once_the_clock_has_gone_on(
    zone: str, crontab: str, after: str, expected: list[str]
) -> None:
    assert times(crontab, zone, after, 3) == expected


@pytest.mark.parametrize(
    ("zone", "crontab", "after", "expected"),
    [
        (
            "Europe/Berlin",
            "30 2 * * *",
            "2026-10-24T00:00",
            ["10-24 02:30 +0200", "10-25 02:30 +0200", "10-26 02:30 +0100"],
        ),
        (
            "America/New_York",
            "30 1 * * *",
            "2026-10-31T00:00",
            ["10-31 01:30 -0400", "11-01 01:30 -0400", "11-02 01:30 -0500"],
        ),
    ],
)
def test_a_time_that_comes_twice_in_autumn_is_taken_once(
    zone: str, crontab: str, after: str, expected: list[str]
) -> None:
    assert times(crontab, zone, after, 3) == expected


def test_in_the_second_of_two_hours_the_first_does_not_come_again() -> None:
    """The library begins a fixed time's search on the clock, which shows that hour twice."""
    second = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)
    found = first_after(second, crontab="30 2 * * *", zone="Europe/Berlin")
    assert found == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("crontab", ["*/30 * * * *", "0,30 * * * *"])
def test_what_comes_every_half_hour_comes_as_often_as_time_passes(crontab: str) -> None:
    assert times(crontab, "Europe/Berlin", "2026-10-25T02:00", 4) == [
        "10-25 02:30 +0200",
        "10-25 02:00 +0100",
        "10-25 02:30 +0100",
        "10-25 03:00 +0100",
    ]
    spring = times(crontab, "Europe/Berlin", "2026-03-29T01:00", 3)
    assert spring == ["03-29 01:30 +0100", "03-29 03:00 +0200", "03-29 03:30 +0200"]


def test_working_days_are_those_of_the_zone() -> None:
    shown = times("0 9 * * MON-FRI", "Asia/Kolkata", "2026-11-27T10:00", 2)
    assert shown == ["11-30 09:00 +0530", "12-01 09:00 +0530"]


@given(
    every=st.integers(1, 10_000).map(lambda minutes: timedelta(minutes=minutes)),
    late=st.integers(0, 10**9).map(lambda seconds: timedelta(seconds=seconds)),
)
def test_the_grid_of_an_interval_begins_at_what_was_due(every: timedelta, late: timedelta) -> None:
    now = START + late
    found = next_of_grid(START, now, every=every)
    assert now < found <= now + every
    assert (found - START) % every == timedelta()


@pytest.mark.parametrize(
    "text",
    ["* * * *", "* * * * * *", "60 * * * *", "x * * * *", "0 0 30 2 *", "@daily", "*/0 * * * *"],
)
def test_what_is_no_crontab_is_refused(text: str) -> None:
    with pytest.raises(ValidationError, match="five fields"):
        check_crontab(text)


@pytest.mark.parametrize("name", ["", "Berlin", "Europe", "../../etc/passwd", "CEST ", "utc+1"])
def test_what_is_no_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="no time zone"):
        check_zone(name)


def test_what_is_one_is_taken() -> None:
    for text in ("", "*/5 8-18 * * 1-5", "0 0 29 2 *", "0 9 L * *"):
        check_crontab(text)
    for name in ("UTC", "Europe/Berlin", "Australia/Lord_Howe"):
        check_zone(name)
