"""From terms back to text: the shortest spelling that `parse` reads as the same terms."""

from __future__ import annotations

import re
from datetime import datetime
from typing import assert_never

from taskhub.search.fields import KINDS, Kind, natural
from taskhub.search.query import (
    LITERAL,
    Age,
    At,
    Day,
    Field,
    Literal,
    Number,
    Offset,
    Op,
    Path,
    Query,
    Term,
    Text,
    Value,
)
from taskhub.search.values import UNITS

PLAIN = re.compile(r"[\w./@#+-][\w./@#+:-]*")
WORD = re.compile(r"(?!(?:AND|OR|NOT)$)\w+")
MEMBER = re.compile(r"[\w-]+")


def printed(query: Query) -> str:
    """The query as a person would write it."""
    return " ".join(map(_term, query.terms))


def _term(term: Term) -> str:
    sign = "-" if term.negated else ""
    if (term.field, term.op) == (Field.TITLE, Op.HAS) and len(term.values) == 1:
        return sign + _word(term.values[0])
    kind = KINDS[term.field]
    operator = ":" if term.op is natural(kind) and kind is not Kind.JSON else _operator(term, kind)
    values = ",".join(_value(value, kind, term.op) for value in term.values)
    return f"{sign}{term.field}{_path(term.path)}{operator}{values}"


def _operator(term: Term, kind: Kind) -> str:
    return term.op if kind is Kind.JSON or term.op is Op.EQ else f":{term.op}"


def _word(value: Value) -> str:
    """Bare where nothing in it could be taken for anything else."""
    assert isinstance(value, Text)
    return "*".join(piece if WORD.fullmatch(piece) else _quoted(piece) for piece in value.pieces)


def _value(value: Value, kind: Kind, op: Op) -> str:
    match value:
        case Text(pieces=pieces):
            return _text(pieces, is_json=kind is Kind.JSON and op is not Op.HAS)
        case Number(value=number):
            return str(number)
        case Literal(text=text):
            return text
        case _:
            return _time(value)


def _time(value: Day | At | Age | Offset) -> str:
    match value:
        case Day(day=day):
            return day.isoformat()
        case At(moment=moment):
            return _moment(moment)
        case Age(seconds=seconds):
            return _length(seconds)
        case Offset(seconds=seconds):
            return ("-" if seconds < 0 else "+") + _length(abs(seconds))
        case _:
            assert_never(value)


def _text(pieces: tuple[str, ...], *, is_json: bool) -> str:
    if pieces == ("",) or (is_json and len(pieces) == 1 and LITERAL.fullmatch(pieces[0])):
        return f'"{pieces[0]}"'
    return "*".join(piece if PLAIN.fullmatch(piece) else _quoted(piece) for piece in pieces)


def _quoted(piece: str) -> str:
    """Nothing beside a star needs no quotes."""
    escaped = piece.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if piece else ""


def _moment(moment: datetime) -> str:
    spec = "microseconds" if moment.microsecond else "seconds"
    return moment.replace(tzinfo=None).isoformat(timespec=spec) + "Z"


def _length(seconds: int) -> str:
    parts = ""
    for unit, size in UNITS.items():
        count, seconds = divmod(seconds, size)
        parts += f"{count}{unit}" if count else ""
    return parts or "0s"


def _path(path: Path) -> str:
    return "".join(_step(step) for step in path)


def _step(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    return f".{step}" if MEMBER.fullmatch(step) else f".{_quoted(step)}"
