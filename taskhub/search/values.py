"""Reads the values of terms, by the kind of field: what was written becomes what is meant."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, date, datetime

from taskhub.model import Status
from taskhub.search.fields import ORDER, Kind
from taskhub.search.query import LITERAL, Age, At, Day, Literal, Number, Offset, Op, Text, Value
from taskhub.search.scanning import Raw

UNITS = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
AGE_LIMIT = 100 * 366 * 86_400
STATUSES = {status.value.lower(): Text((status.value,)) for status in Status}

NUMBER = re.compile(r"[+-]?[0-9]{1,9}")
LENGTH = re.compile(r"(?:[0-9]{1,9}[wdhms])+")
PART = re.compile(r"([0-9]+)([wdhms])")
DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})"
)
ID = re.compile(r"[0-9a-f-]{0,36}")

LENGTHS = "30s, 10m, 1h30m, 7d or 2w"
A_TIME = (
    f"a day such as 2030-01-31, a time such as 2030-01-31T08:00:00Z, an age such as {LENGTHS}, "
    "or a time from now such as +10m or -1h"
)


class Unfit(ValueError):
    """The value is none of this kind; the message says what was expected."""


def meant(kind: Kind, op: Op, raw: Raw) -> Value:
    """The value of a term; raises Unfit."""
    return READ[kind](op, raw)


def _status(_: Op, raw: Raw) -> Value:
    try:
        return STATUSES["*".join(raw.pieces).lower()]
    except KeyError:
        raise Unfit(f"one of {', '.join(Status)}") from None


def _text(op: Op, raw: Raw) -> Value:
    if op is Op.HAS and raw.pieces == ("",):
        raise Unfit("some text between the quotes")
    return Text(raw.pieces)


def _id(_: Op, raw: Raw) -> Value:
    pieces = tuple(piece.lower() for piece in raw.pieces)
    if not all(map(ID.fullmatch, pieces)) or pieces == ("",):
        raise Unfit("an id, or the beginning of one and a star, such as 019aa1d2*")
    return Text(pieces)


def _number(_: Op, raw: Raw) -> Value:
    text = _whole(raw)
    if not NUMBER.fullmatch(text):
        raise Unfit("a whole number")
    return Number(int(text))


def _age(op: Op, raw: Raw) -> Value:
    seconds = _length(_whole(raw))
    if seconds is None:
        raise Unfit(f"an age such as {LENGTHS}, at most a hundred years")
    if op not in ORDER:
        raise Unfit("> or < before an age")
    return Age(seconds)


def _time(op: Op, raw: Raw) -> Value:
    """A star asks whether the time is known at all."""
    if op is Op.EQ and raw.pieces == ("", ""):
        return Text(raw.pieces)
    text = _whole(raw)
    found = _moment(text) or _offset(text)
    return found if found is not None else _aged(op, text)


def _aged(op: Op, text: str) -> Value:
    seconds = _length(text)
    if seconds is None:
        raise Unfit(A_TIME)
    if op not in ORDER:
        raise Unfit("> or < before an age")
    return Age(seconds)


def _moment(text: str) -> Day | At | None:
    try:
        if DAY.fullmatch(text):
            return Day(date.fromisoformat(text))
        if TIME.fullmatch(text):
            return At(datetime.fromisoformat(text).astimezone(UTC))
    except (ValueError, OverflowError):
        pass
    return None


def _offset(text: str) -> Offset | None:
    sign = {"+": 1, "-": -1}.get(text[:1])
    seconds = None if sign is None else _length(text[1:])
    return None if sign is None or seconds is None else Offset(sign * seconds)


def _length(text: str) -> int | None:
    if not LENGTH.fullmatch(text):
        return None
    seconds = sum(int(number) * UNITS[unit] for number, unit in PART.findall(text))
    return seconds if seconds <= AGE_LIMIT else None


def _json(op: Op, raw: Raw) -> Value:
    """What is not quoted and looks like JSON is JSON; all else is text."""
    text = raw.pieces[0]
    is_literal = raw.is_bare and len(raw.pieces) == 1 and LITERAL.fullmatch(text)
    if op in ORDER:
        return _ordered(raw, is_number=bool(is_literal) and text[-1].isdigit())
    return Literal(text) if is_literal and op is Op.EQ else _text(op, raw)


def _ordered(raw: Raw, *, is_number: bool) -> Value:
    if len(raw.pieces) > 1:
        raise Unfit("a number or a text without a star")
    return Literal(raw.pieces[0]) if is_number else Text(raw.pieces)


def _whole(raw: Raw) -> str:
    return "*".join(raw.pieces)


READ: dict[Kind, Callable[[Op, Raw], Value]] = {
    Kind.STATUS: _status,
    Kind.NAME: _text,
    Kind.ID: _id,
    Kind.TEXT: _text,
    Kind.NUMBER: _number,
    Kind.TIME: _time,
    Kind.AGE: _age,
    Kind.JSON: _json,
}
