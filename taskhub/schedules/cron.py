"""When a cron expression is due in a time zone, and what it says in words; it asks no clock.

The rules are those of Debian's cron. Where clocks are put forward, what would have been due in the
hour that is left out is due at its end; where they are put back, what is due at a time of day is
due once, and what is due every hour or more often goes on at its pace.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

NAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
"""Words that stand for an expression, as cron knows them."""

LENGTH_LIMIT = 200
SHAPE = (
    "five fields (minute, hour, day of the month, month, day of the week), a sixth before them for "
    f"seconds, or one of {', '.join(NAMES)}"
)
ZONE = "the name of a time zone such as Europe/Berlin, or UTC"
NEVER = "an expression that is due at some time within 50 years"
FIELDS = {
    "Bad second": "seconds of 0-59",
    "Bad minute": "minutes of 0-59",
    "Bad hour": "hours of 0-23",
    "Bad day-of-month": "days of the month that are there: 1-31, L or LW",
    "Bad month": "months of 1-12 or JAN-DEC",
    "Bad day-of-week": "days of the week of 0-7 or SUN-SAT, also MON#1 and 5L",
}
HOW = "each alone, in lists (1,15), ranges (1-5) and steps (*/15)"

_SIGNS = re.compile(r"[0-9A-Za-z*/,#\- ]+", re.ASCII)
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+\-]*(?:/[A-Za-z0-9_+\-]+){0,2}", re.ASCII)
_LOCAL = frozenset({"localtime", "posixrules", "Factory"})
_VARIANTS = ("posix/", "right/")
_SHORTEST = 5
_SECOND, _MINUTE, _SOON = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=3)
_INSTANT = timedelta(microseconds=1)
_FEW = 8


class CronError(ValueError):
    """It cannot be used: `member` is `cron` or `timeZone`, the text says what was expected."""

    def __init__(self, member: str, expected: str) -> None:
        super().__init__(expected)
        self.member = member


@dataclass(frozen=True, slots=True)
class Cron:
    """A cron expression that was read, in its time zone."""

    expression: str
    zone: tzinfo
    time_zone: str

    @property
    def is_paced(self) -> bool:
        """Whether it is due every hour or more often, and not at times of day."""
        return any(part.startswith("*") for part in self.expression.split(" ")[:-3])


def read(expression: str, time_zone: str = "UTC") -> Cron:
    """The expression in its zone; raises CronError, also for one that is never due."""
    zone = _zone(time_zone)
    cron = Cron(_fields(expression), zone, time_zone)
    try:
        first = next_after(cron, datetime(2000, 1, 1, tzinfo=UTC))
    except CronSimError as error:
        wrong = FIELDS.get(str(error))
        raise CronError("cron", f"{wrong}, {HOW}" if wrong else SHAPE) from None
    if first is None:
        raise CronError("cron", NEVER)
    return cron


def _fields(text: str) -> str:
    """The five or six fields; of a word those it stands for."""
    text = NAMES.get(text.strip().lower(), text)
    parts = text.split(" ") if len(text) <= LENGTH_LIMIT and _SIGNS.fullmatch(text) else []
    parts = [part for part in parts if part]
    if len(parts) not in (_SHORTEST, _SHORTEST + 1):
        raise CronError("cron", SHAPE)
    return " ".join(parts).upper()


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    is_named = len(name) <= LENGTH_LIMIT and _ZONE.fullmatch(name)
    if not is_named or name in _LOCAL or name.startswith(_VARIANTS):
        raise CronError("timeZone", ZONE)
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # OSError: a folder of zones, such as Europe
        raise CronError("timeZone", ZONE) from None


def words(cron: Cron) -> str:
    """What it says in English, such as `At 06:00 on Monday through Friday (Europe/Berlin)`."""
    said = CronSim(cron.expression, datetime(2000, 1, 1, tzinfo=UTC)).explain()
    return f"{said} ({cron.time_zone})"


def times_after(cron: Cron, moment: datetime) -> Iterator[datetime]:
    """Every time after this one, in UTC, in order."""
    at = next_after(cron, moment)
    while at is not None:
        yield at
        at = next_after(cron, at)


def next_after(cron: Cron, moment: datetime) -> datetime | None:
    """The first time after this one, in UTC; None: there is none within 50 years."""
    find = _at_a_pace if cron.is_paced else _at_a_time_of_day
    try:
        return find(cron, moment)
    except OverflowError:  # the calendar ends with the year 9999
        return None


def _at_a_time_of_day(cron: Cron, moment: datetime) -> datetime | None:
    """Once for each time of day: the first of two, and the end of an hour that is left out."""
    for wall in CronSim(cron.expression, _wall(cron.zone, moment)):
        while not (shown := _shown(cron.zone, wall)):
            wall += _MINUTE  # noqa: PLW2901 - as cron does: on to the first minute that is there
        if shown[0] > moment:
            return shown[0]
    return None


def _at_a_pace(cron: Cron, moment: datetime) -> datetime | None:
    """Whenever the clock shows such a time: twice in the hour that comes twice."""
    back = _set_back(cron.zone, moment)
    found = _shown_after(cron, _wall(cron.zone, moment), moment)
    if back is None or (found is not None and found < back):
        return found
    return _shown_after(cron, _wall(cron.zone, back) - _SECOND, back - _SECOND)


def _shown_after(cron: Cron, wall: datetime, moment: datetime) -> datetime | None:
    for found in CronSim(cron.expression, wall):
        if later := [at for at in _shown(cron.zone, found) if at > moment]:
            return later[0]
    return None


def _wall(zone: tzinfo, moment: datetime) -> datetime:
    """What a clock on the wall shows."""
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _shown(zone: tzinfo, wall: datetime) -> list[datetime]:
    """When a clock shows this: once, twice, or never."""
    both = (wall.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    return sorted({at for at in both if _wall(zone, at) == wall})


def _set_back(zone: tzinfo, moment: datetime) -> datetime | None:
    """When clocks are put back within the next hours: then they soon show again what they did."""
    low, high = moment, moment + _SOON
    offset = moment.astimezone(zone).utcoffset()
    if not _is_less(high.astimezone(zone).utcoffset(), offset):
        return None
    while high - low > _SECOND:
        middle = low + (high - low) / 2
        is_back = _is_less(middle.astimezone(zone).utcoffset(), offset)
        low, high = (low, middle) if is_back else (middle, high)
    return high.replace(microsecond=0)


def _is_less(offset: timedelta | None, other: timedelta | None) -> bool:
    return offset is not None and other is not None and offset < other


def times_between(cron: Cron, first: datetime, last: datetime, limit: int) -> list[datetime]:
    """The times from `first` to `last`, both of them too; at most so many, the earliest."""
    found = takewhile(lambda at: at <= last, times_after(cron, first - _INSTANT))
    return list(islice(found, limit))


def newest_until(cron: Cron, first: datetime, last: datetime) -> datetime:
    """The newest time up to `last`, however many there are since `first`, which is one of them.

    A few are looked at one by one; of many the last is found by halving, in some thirty steps.
    """
    few = [first, *times_between(cron, first + _INSTANT, last, _FEW)]
    if len(few) <= _FEW:
        return few[-1]
    low, high = 0, int((last - few[-1]).total_seconds()) + 1
    while high - low > 1:
        middle = (low + high) // 2
        found = next_after(cron, few[-1] + middle * _SECOND - _INSTANT)
        low, high = (middle, high) if found is not None and found <= last else (low, middle)
    return few[-1] + low * _SECOND
