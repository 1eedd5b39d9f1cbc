"""When expressions are due, beside a calendar that looks at every minute; and what they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st
from taskhub.schedules.cron import (
    NEVER,
    SHAPE,
    ZONE,
    CronError,
    newest_until,
    next_after,
    read,
    times_after,
    times_between,
    words,
)

from tests.unit.schedules.calendar import NIGHTS, Fields, due, expressions

SLOW = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
LORD_HOWE = "Australia/Lord_Howe"


def local(expression: str, zone: str, after: str, count: int) -> list[str]:
    """The next times as a clock shows them, with what it is ahead of UTC."""
    start = datetime.fromisoformat(after).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)
    found = islice(times_after(read(expression, zone), start), count)
    return [at.astimezone(ZoneInfo(zone)).strftime("%a %H:%M%z") for at in found]


@SLOW
@given(night=st.sampled_from(NIGHTS), fields=expressions)
def test_it_is_due_when_a_calendar_says_so(night: tuple[str, datetime], fields: Fields) -> None:
    """Two days and a half around a change of the clocks: not a minute more, not one less."""
    zone, moment = night
    first = moment - timedelta(hours=30)
    last = first + timedelta(hours=60)

    expected = due(fields, ZoneInfo(zone), first, last)

    try:
        cron = read(fields.text, zone)
    except CronError:  # 31 February
        assert expected == []
    else:
        assert times_between(cron, first, last, 100_000) == expected


@SLOW
@given(
    night=st.sampled_from(NIGHTS),
    fields=expressions,
    minutes=st.integers(0, 3_000),
    micros=st.sampled_from([0, 1, 999_999]),
)
def test_the_next_time_does_not_depend_on_where_one_looks_from(
    night: tuple[str, datetime], fields: Fields, minutes: int, micros: int
) -> None:
    """From any moment it is the first of those that a walk from far away has found."""
    zone, moment = night
    start = moment - timedelta(hours=30)
    look = start + timedelta(minutes=minutes, microseconds=micros)
    try:
        cron = read(fields.text, zone)
    except CronError:
        assume(False)
        return
    walk = times_between(cron, start, start + timedelta(days=10), 20_000)

    later = [at for at in walk if at > look]

    assert not later or next_after(cron, look) == later[0]
    earlier = [at for at in walk if at <= look]
    assert not earlier or newest_until(cron, earlier[0], look) == earlier[-1]


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        # clocks go from 02:00 to 03:00: what was due between is due at once
        ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["Sun 03:00+0200", "Mon 02:30+0200"]),
        ("0 2 * * *", "America/New_York", "2026-03-07T12:00", ["Sun 03:00-0400", "Mon 02:00-0400"]),
        # several times of day that are left out are one
        ("0,20,40 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["Sun 03:00+0200"]),
        # clocks go from 03:00 to 02:00: a time of day that comes twice is due once, the first time
        ("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["Sun 02:30+0200", "Mon 02:30+0100"]),
        ("30 1 * * *", "America/New_York", "2026-10-31T12:00", ["Sun 01:30-0400"]),
        # what is due often goes on at its pace
        (
            "*/30 * * * *",
            "Europe/Berlin",
            "2026-10-25T01:45",
            ["Sun 02:00+0200", "Sun 02:30+0200", "Sun 02:00+0100", "Sun 02:30+0100"],
        ),
        ("*/30 * * * *", "Europe/Berlin", "2026-03-29T01:15", ["Sun 01:30+0100", "Sun 03:00+0200"]),
        ("0 * * * *", "America/New_York", "2026-11-01T00:30", ["Sun 01:00-0400", "Sun 01:00-0500"]),
        # the day itself begins at 01:00, or twice at 00:00
        ("0 0 * * *", "Asia/Beirut", "2026-03-28T12:00", ["Sun 01:00+0300", "Mon 00:00+0300"]),
        ("*/20 1 * * SUN", "Asia/Beirut", "2026-03-28T12:00", ["Sun 01:00+0300", "Sun 01:20+0300"]),
        ("0 0 * * *", "America/Havana", "2026-10-31T12:00", ["Sun 00:00-0400", "Mon 00:00-0500"]),
        # half an hour
        ("15 2 * * *", LORD_HOWE, "2026-10-03T12:00", ["Sun 02:30+1100"]),
        ("*/20 * * * *", LORD_HOWE, "2026-10-04T01:35", ["Sun 01:40+1030", "Sun 02:40+1100"]),
        # to the second
        ("9 30 2 * * *", "Europe/Berlin", "2026-10-24T12:00", ["Sun 02:30+0200", "Mon 02:30+0100"]),
        ("0 30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["Sun 03:00+0200", "Mon 02:30+0200"]),
    ],
)  # fmt: skip
def test_days_on_which_clocks_change(
    expression: str, zone: str, after: str, expected: list[str]
) -> None:
    """Each of them was decided; a surprise at night is one that nobody sees."""
    assert local(expression, zone, after, len(expected)) == expected


def test_the_hour_that_came_twice_is_not_due_again() -> None:
    """Whoever looks in the second hour sees that 02:30 has been."""
    cron = read("30 2 * * *", "Europe/Berlin")
    second = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)

    assert next_after(cron, second) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 6 * * MON-FRI", "At 06:00 on Monday through Friday (Europe/Berlin)"),
        ("*/15 * * * *", "Every 15th minute of every hour (Europe/Berlin)"),
        ("@daily", "At 00:00 every day (Europe/Berlin)"),
        ("@Weekly ", "At 00:00 on Sunday (Europe/Berlin)"),
        ("30  2 l * *", "At 02:30 on the last day of every month (Europe/Berlin)"),
        ("*/10 * * * * *", "Every 10th second of every minute (Europe/Berlin)"),
        ("0 0 1,15 * 3", "At 00:00 on the first and the 15th day of month and on Wednesday"),
    ],
)
def test_an_expression_is_said_in_words(expression: str, said: str) -> None:
    """Whoever reads it need not know cron."""
    assert words(read(expression, "Europe/Berlin")).startswith(said)


@pytest.mark.parametrize("name", ["@hourly", "@monthly", "@yearly", "@annually", "@midnight"])
def test_the_words_of_cron_are_known(name: str) -> None:
    """All but @reboot, which is no time."""
    assert next_after(read(name), datetime(2026, 1, 1, tzinfo=UTC)) is not None


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", SHAPE),
        ("* * * *", SHAPE),
        ("* * * * * * *", SHAPE),
        ("@reboot", SHAPE),
        ("0 6 * * MON-FRI\n", SHAPE),
        ("٣ * * * *", SHAPE),
        ("*" * 201, SHAPE),
        (", ".join("1" * 300), SHAPE),
        ("61 * * * *", "minutes of 0-59"),
        ("60 * * * * *", "seconds of 0-59"),
        ("0 24 * * *", "hours of 0-23"),
        ("0 0 32 * *", "days of the month"),
        ("0 0 30 2 *", "days of the month"),
        ("0 0 * 13 *", "months of 1-12"),
        ("0 0 * * 8", "days of the week"),
        ("0 0 * * MON#6", "days of the week"),
        ("5-1 * * * *", "minutes"),
        ("*/0 * * * *", "minutes"),
        ("0 0 */31 4,6 5#5", NEVER),
    ],
)
def test_what_cannot_be_due_is_refused_with_what_was_expected(
    expression: str, expected: str
) -> None:
    """At once, and not at the first run."""
    with pytest.raises(CronError) as caught:
        read(expression)

    assert caught.value.member == "cron"
    assert str(caught.value).startswith(expected)


@pytest.mark.parametrize(
    "zone",
    [
        *("", "Mars/Olympus", "Europe", "../../etc/passwd", "/etc/localtime", "localtime"),
        *("posix/Europe/Berlin", "right/Europe/Berlin", "Europe/Berlin\0", "Ünix", "x" * 300),
        *("posixrules", "Europe/", "tzdata.zi", "America/Argentina/Buenos_Aires/x"),
    ],
)
def test_a_zone_that_is_none_is_refused(zone: str) -> None:
    """Nor is one that would be another elsewhere, or counts leap seconds."""
    with pytest.raises(CronError, match=ZONE) as caught:
        read("@daily", zone)

    assert caught.value.member == "timeZone"


@settings(max_examples=200, deadline=None, database=None)
@given(st.text(alphabet="0123456789*/,-#LWJANFRIMO @", max_size=30) | st.text(max_size=20))
@example("0 0 * * L")
@example("0 0 * * 1L/2")
@example("1/2/3 * * * *")
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    """And what is one can be said in words."""
    try:
        cron = read(text)
    except CronError:
        return
    assert words(cron)


def test_the_calendar_ends() -> None:
    """With the year 9999, quietly."""
    assert next_after(read("@daily"), datetime(9999, 12, 31, 12, tzinfo=UTC)) is None


def test_the_newest_of_a_year_of_seconds_is_found_at_once() -> None:
    """By halving: one by one it would take minutes."""
    first, last = datetime(2025, 1, 1, tzinfo=UTC), datetime(2026, 2, 3, 4, 5, 6, 7, tzinfo=UTC)

    assert newest_until(read("* * * * * *"), first, last) == last.replace(microsecond=0)
    january = newest_until(read("* * * * JAN *"), first, last.replace(year=2025))
    assert january == datetime(2025, 1, 31, 23, 59, 59, tzinfo=UTC)
