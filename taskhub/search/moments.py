"""What terms about time mean: spans between two moments; each back end compares with these."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from taskhub.model import micros_from_utc
from taskhub.search.query import Age, At, Day, Offset, Op, Term, Value

FOREVER = 1 << 62  # microseconds: later than any time
SECOND = 1_000_000
DAY = 86_400 * SECOND

MIRRORED = {Op.LT: Op.GT, Op.LE: Op.GE, Op.GT: Op.LT, Op.GE: Op.LE}
"""A greater age is an earlier time."""


class Span(NamedTuple):
    """Microseconds since 1970: from `start` on, before `end`."""

    start: int
    end: int


def spans(term: Term, now: int) -> list[Span]:
    """Where a time must lie, one span for each value; `now` in microseconds since 1970."""
    return [_span(term.op, value, now) for value in term.values]


def _span(op: Op, value: Value, now: int) -> Span:
    start, width = _point(value, now)
    if isinstance(value, Age):
        op = MIRRORED[op]
    end = start + width
    return {
        Op.EQ: Span(start, end),
        Op.LT: Span(-FOREVER, start),
        Op.LE: Span(-FOREVER, end),
        Op.GT: Span(end, FOREVER),
        Op.GE: Span(start, FOREVER),
    }[op]


def _point(value: Value, now: int) -> tuple[int, int]:
    """The first microsecond that a value means, and how many."""
    match value:
        case Day(day=day):
            return micros_from_utc(datetime(day.year, day.month, day.day, tzinfo=UTC)), DAY
        case At(moment=moment):
            return micros_from_utc(moment), 1 if moment.microsecond else SECOND
        case Age(seconds=seconds):
            return now - seconds * SECOND, 1
        case Offset(seconds=seconds):
            return now + seconds * SECOND, 1
        case _:
            raise TypeError(f"no time: {value!r}")
