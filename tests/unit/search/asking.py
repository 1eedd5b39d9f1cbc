"""Any query at all, as hypothesis makes it up: what the grammar allows and nothing else."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import strategies as st
from taskhub.model import Status
from taskhub.search import (
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
from taskhub.search.fields import KINDS, OPERATORS, ORDER, Kind
from taskhub.search.query import LITERAL
from taskhub.search.scanning import ODD

AGE = 3_000_000_000

letters = st.characters(exclude_categories=("Cc", "Cs")).filter(lambda c: not ODD.match(c))
odd = st.sampled_from([*'*\\",:=<>~!-()[]. \t\n', "AND", "OR", "NOT", "ß", "İ", "\u0301", "😀"])
texts = st.lists(letters | odd, max_size=6).map("".join)
ANYTHING = st.just(Text(("", "")))


@st.composite
def pieces(draw: st.DrawFn, piece: st.SearchStrategy[str] = texts, *, empty: bool = True) -> Text:
    """Text with stars in it; between two of them there is something."""
    first, last = draw(piece), draw(piece)
    inner = draw(st.lists(piece.filter(bool), max_size=3))
    whole = draw(st.booleans())
    if whole:
        return Text((first if first or empty else "x",))
    return Text((first, *inner, last))


def values(kind: Kind, op: Op) -> st.SearchStrategy[Value]:
    """What may stand after an operator."""
    if kind is Kind.JSON:
        return documents(op)
    if kind is Kind.TIME:
        return times(op)
    names = pieces(empty=op is Op.EQ)
    ids = pieces(st.text("0123456789abcdef-", max_size=9), empty=False)
    made: dict[Kind, st.SearchStrategy[Value]] = {
        Kind.STATUS: st.sampled_from([Text((status.value,)) for status in Status]),
        Kind.NAME: names,
        Kind.TEXT: names,
        Kind.ID: ids.filter(lambda text: "x" not in text.pieces),
        Kind.NUMBER: st.integers(-999_999_999, 999_999_999).map(Number),
        Kind.AGE: st.integers(0, AGE).map(Age),
    }
    return made[kind]


def times(op: Op) -> st.SearchStrategy[Value]:
    """Days, moments with a fraction and without, times from now; ages where there is an order."""
    moments = st.datetimes(timezones=st.just(UTC))
    some = st.dates().map(Day) | moments.map(At) | moments.map(_second)
    ages = st.integers(0, AGE).map(Age)
    return some | st.integers(-AGE, AGE).map(Offset) | (ages if op in ORDER else ANYTHING)


def _second(moment: datetime) -> At:
    return At(moment.replace(microsecond=0))


def documents(op: Op) -> st.SearchStrategy[Value]:
    """Values of members: JSON's own where equality is asked for, numbers and texts in order."""
    numbers = st.integers(-(10**20), 10**20).map(str) | st.floats(
        allow_nan=False, allow_infinity=False
    ).map(repr)
    good = numbers.filter(LITERAL.fullmatch).map(Literal)
    if op in ORDER:
        return good | texts.map(lambda text: Text((text,)))
    if op is Op.HAS:
        return pieces(empty=False)
    return good | st.sampled_from(["true", "false", "null"]).map(Literal) | pieces()


keys = st.text(letters, min_size=1, max_size=5).filter(lambda key: not set(key) & set('"\\'))


def paths(field: Field) -> st.SearchStrategy[Path]:
    """Somewhere in a document, or nowhere for what is none."""
    if KINDS[field] is not Kind.JSON:
        return st.just(())
    return st.lists(keys | st.integers(0, 999_999), min_size=1, max_size=4).map(tuple)


@st.composite
def terms(draw: st.DrawFn) -> Term:
    """One condition."""
    field = draw(st.sampled_from(list(Field)))
    kind = KINDS[field]
    op = draw(st.sampled_from(sorted(OPERATORS[kind])))
    most = 1 if op in ORDER else 3
    some = draw(st.lists(values(kind, op), min_size=1, max_size=most))
    return Term(field, op, tuple(some), draw(st.booleans()), draw(paths(field)))


queries = st.lists(terms(), max_size=4).map(lambda some: Query(tuple(some)))
words = st.sampled_from(
    [*(f"{field}{op}" for field in Field for op in (":", "=", ":>", "!=", "~")), "payload.a=", "-"]
)
scribbles = st.lists(words | odd | letters | st.text(max_size=3), max_size=12).map("".join)
"""Texts that look a little like a search."""
