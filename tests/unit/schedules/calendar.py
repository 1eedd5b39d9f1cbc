"""What cron expressions mean, said once more by looking at every minute; slow, and no cronsim."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

MINUTE = timedelta(minutes=1)

CHANGES = {
    "Europe/Berlin": ["2026-03-29T01", "2026-10-25T01"],
    "America/New_York": ["2026-03-08T07", "2026-11-01T06"],
    "Asia/Beirut": ["2026-03-28T22", "2026-10-24T21"],
    "America/Havana": ["2026-03-08T05", "2026-11-01T05"],
    "Australia/Lord_Howe": ["2026-04-04T15", "2026-10-03T15"],
    "Asia/Kathmandu": ["2026-06-01T00"],
    "UTC": ["2026-06-01T00"],
}
"""Zones, and moments (UTC) at which their clocks are changed: by an hour, at midnight, by half."""

NIGHTS = [
    (zone, datetime.fromisoformat(text).replace(tzinfo=UTC))
    for zone, texts in CHANGES.items()
    for text in texts
]


@dataclass(frozen=True)
class Part:
    """One field: its text, and the values that it allows."""

    text: str
    values: frozenset[int]


@dataclass(frozen=True)
class Fields:
    """The five fields of an expression."""

    minute: Part
    hour: Part
    day: Part
    month: Part
    weekday: Part

    @property
    def text(self) -> str:
        """The expression."""
        parts = (self.minute, self.hour, self.day, self.month, self.weekday)
        return " ".join(part.text for part in parts)

    @property
    def is_often(self) -> bool:
        """Due every hour or more often: it goes on at its pace, whatever the clocks do."""
        return self.minute.text.startswith("*") or self.hour.text.startswith("*")

    def match(self, local: datetime) -> bool:
        """Whether it is due when the clock says so."""
        in_month = local.month in self.month.values
        on_time = local.minute in self.minute.values and local.hour in self.hour.values
        return on_time and in_month and self._match_day(local)

    def _match_day(self, local: datetime) -> bool:
        day, weekday = local.day in self.day.values, local.isoweekday() % 7 in self.weekday.values
        if self.day.text.startswith("*") or self.weekday.text.startswith("*"):
            return day and weekday
        return day or weekday


def due(fields: Fields, zone: ZoneInfo, first: datetime, last: datetime) -> list[datetime]:
    """Every time from `first` to `last` (UTC, whole minutes), both too."""
    if fields.is_often:
        return [at for at in _minutes(first, last) if fields.match(at.astimezone(zone))]
    day = timedelta(days=1)
    naive = _minutes(first.replace(tzinfo=None) - day, last.replace(tzinfo=None) + day)
    found = {_resolved(local, zone) for local in naive if fields.match(local)}
    return sorted(at for at in found if first <= at <= last)


def _minutes(first: datetime, last: datetime) -> list[datetime]:
    return [first + MINUTE * number for number in range((last - first) // MINUTE + 1)]


def _resolved(local: datetime, zone: ZoneInfo) -> datetime:
    """The first moment at which the clock says so; of what is left out, the end."""
    while True:
        at = local.replace(tzinfo=zone).astimezone(UTC)
        if at.astimezone(zone).replace(tzinfo=None, fold=0) == local:
            return at
        local += MINUTE


def _part(low: int, high: int, often: int | None = None) -> st.SearchStrategy[Part]:
    """A field from `low` to `high`, whose single values are mostly at most `often`."""
    among = st.integers(low, high if often is None else often)
    several = st.lists(among, min_size=1, max_size=4, unique=True).map(
        lambda found: Part(",".join(map(str, found)), frozenset(found))
    )
    steps = st.sampled_from([2, 3, 5, 7]).map(
        lambda step: Part(f"*/{step}", frozenset(range(low, high + 1, step)))
    )
    star = st.just(Part("*", frozenset(range(low, high + 1))))
    ranges = st.tuples(among, among).map(
        lambda ends: Part(f"{min(ends)}-{max(ends)}", frozenset(range(min(ends), max(ends) + 1)))
    )
    return st.one_of(star, several, several, steps, ranges)


expressions = st.builds(
    Fields,
    minute=_part(0, 59),
    hour=_part(0, 23, often=4),
    day=st.just(Part("*", frozenset(range(1, 32)))) | _part(1, 31),
    month=st.just(Part("*", frozenset(range(1, 13)))),
    weekday=st.just(Part("*", frozenset(range(7)))) | _part(0, 6),
)
"""Expressions that are mostly due at night, when clocks are changed."""
