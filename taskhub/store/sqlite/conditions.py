"""A term of a search as a condition of SQL: fixed pieces and parameters, never a word of its text.

A condition may be NULL where a column is; a term that is negated holds then.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

from taskhub.search import Field, Literal, Number, Op, Path, Term, Text, Value, cased, spans
from taskhub.search.fields import KINDS, ORDER, Kind

COLUMNS = {
    Field.STATUS: "Status",
    Field.TYPE: "Type",
    Field.QUEUE: "Queue",
    Field.ID: "Id",
    Field.CREATED_BY: "CreatedBy",
    Field.TITLE: "Title",
    Field.ERROR: "Error",
    Field.FINGERPRINT: "nullif(Fingerprint, '')",
    Field.PRIORITY: "Priority",
    Field.ATTEMPTS: "Attempts",
    Field.MAX_ATTEMPTS: "MaxAttempts",
    Field.CREATED: "CreatedAt",
    Field.UPDATED: "UpdatedAt",
    Field.STARTED: "StartedAt",
    Field.FINISHED: "FinishedAt",
    Field.RUN_AT: "RunAt",
    Field.AGE: "CreatedAt",
    Field.PAYLOAD: "Payload",
    Field.RESULT: "Result",
}
SPECIAL = frozenset("*?[")
LARGEST = 2**63 - 1
TEXT_LOOKED = 10_000
"""Characters of a text in a document that a pattern sees: a pattern costs as many steps as both
have characters multiplied, so a long one in a megabyte of `a` would take half a minute."""


class Conditions:
    """Makes conditions and keeps their parameters; `now` in microseconds since 1970."""

    always = "1"

    def __init__(self, now: int) -> None:
        """Begin without parameters."""
        self.now = now
        self.values: dict[str, object] = {}

    def all_of(self, terms: Iterable[Term]) -> str:
        """Every term must hold; where there are none, it is always so."""
        return " AND ".join(map(self.of, terms)) or "1"

    def of(self, term: Term) -> str:
        """One term."""
        text = MAKERS[KINDS[term.field]](self, term)
        return f"({text}) IS NOT TRUE" if term.negated else f"({text})"

    def _put(self, value: object) -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    def _words(self, term: Term) -> str:
        """Exact words by equality, which indexes know; all else by patterns."""
        column, folds = COLUMNS[term.field], _folds(term)
        texts = [value for value in term.values if isinstance(value, Text)]
        exact = [text.pieces[0] for text in texts if text.is_plain and not folds]
        some = [f"{column} IN ({','.join(map(self._put, exact))})"] if exact else []
        loose = [text for text in texts if folds or not text.is_plain]
        patterns = [_pattern(text, term.op, folds=folds) for text in loose]
        return " OR ".join(some + [f"{column} GLOB {self._put(p)}" for p in patterns])

    def _numbers(self, term: Term) -> str:
        column = COLUMNS[term.field]
        numbers = [value.value for value in term.values if isinstance(value, Number)]
        return " OR ".join(f"{column} {term.op} {self._put(number)}" for number in numbers)

    def _times(self, term: Term) -> str:
        column = COLUMNS[term.field]
        some = ["1" for value in term.values if isinstance(value, Text)]  # a star: any time
        times = tuple(value for value in term.values if not isinstance(value, Text))
        for start, end in spans(Term(term.field, term.op, times), self.now):
            some.append(f"{column} >= {self._put(start)} AND {column} < {self._put(end)}")
        return f"{column} IS NOT NULL AND ({' OR '.join(some)})"

    def _documents(self, term: Term) -> str:
        """A document that is none (no result yet) has no members, and breaks no search."""
        column = COLUMNS[term.field]
        places = [self._put(place) for place in _places(term.path)]
        kind = _first(f"json_type({column}, {place})" for place in places)
        value = _first(f"json_extract({column}, {place})" for place in places)
        wanted = [self._member(term.op, one, kind, value) for one in term.values]
        missing = int(any(_is_null(one) for one in term.values))
        return f"CASE WHEN json_valid({column}) THEN {' OR '.join(wanted)} ELSE {missing} END"

    def _member(self, op: Op, wanted: Value, kind: str, value: str) -> str:
        if isinstance(wanted, Literal):
            return self._literal(op, wanted, kind, value)
        assert isinstance(wanted, Text)
        if wanted.is_anything:
            return f"{kind} <> 'null'"
        if op is Op.HAS or not wanted.is_plain:
            pattern = self._put(_pattern(wanted, op, folds=op is Op.HAS))
            return f"{kind} = 'text' AND substr({value}, 1, {TEXT_LOOKED}) GLOB {pattern}"
        return f"{kind} = 'text' AND {value} {op} {self._put(wanted.pieces[0])}"

    def _literal(self, op: Op, wanted: Literal, kind: str, value: str) -> str:
        """What may be meant as JSON's own value is also found as the text that looks so."""
        if op in ORDER:
            return f"{kind} IN ('integer', 'real') AND {value} {op} {self._put(_number(wanted))}"
        text = f"({kind} = 'text' AND {value} = {self._put(wanted.text)})"
        if wanted.value is None:
            return f"{text} OR ifnull({kind}, 'null') = 'null'"
        if isinstance(wanted.value, bool):
            return f"{text} OR {kind} = {self._put(wanted.text)}"
        number = self._put(_number(wanted))
        return f"{text} OR ({kind} IN ('integer', 'real') AND {value} = {number})"


MAKERS: dict[Kind, Callable[[Conditions, Term], str]] = {
    Kind.STATUS: Conditions._words,  # noqa: SLF001 - of this module's own class
    Kind.NAME: Conditions._words,  # noqa: SLF001
    Kind.ID: Conditions._words,  # noqa: SLF001
    Kind.TEXT: Conditions._words,  # noqa: SLF001
    Kind.NUMBER: Conditions._numbers,  # noqa: SLF001
    Kind.TIME: Conditions._times,  # noqa: SLF001
    Kind.AGE: Conditions._times,  # noqa: SLF001
    Kind.JSON: Conditions._documents,  # noqa: SLF001
}


def _folds(term: Term) -> bool:
    """Whether the case of letters says nothing."""
    return term.op is Op.HAS or KINDS[term.field] is Kind.TEXT


def _pattern(text: Text, op: Op, *, folds: bool) -> str:
    """A GLOB that matches the whole text, or with HAS a part of it."""
    letter = _folded if folds else _escaped
    whole = "*".join("".join(map(letter, piece)) for piece in text.pieces)
    return f"*{whole}*" if op is Op.HAS else whole


def _folded(character: str) -> str:
    either = cased(character)
    return f"[{either}]" if len(either) > 1 else _escaped(character)


def _places(path: Path) -> Sequence[str]:
    r"""The path as SQLite writes it.

    Older versions compare names as they stand in the document, where letters beyond ASCII may be
    written as themselves or as `\u00fc`: both spellings are looked for.
    """
    plain = "".join(_step(step, step) for step in path)
    escaped = "".join(_step(step, json.dumps(step)[1:-1]) for step in path)
    return list(dict.fromkeys(("$" + plain, "$" + escaped)))


def _step(step: str | int, name: object) -> str:
    return f"[{step}]" if isinstance(step, int) else f'."{name}"'


def _first(texts: Iterable[str]) -> str:
    several = list(texts)
    return several[0] if len(several) == 1 else f"coalesce({', '.join(several)})"


def _is_null(value: Value) -> bool:
    return isinstance(value, Literal) and value.value is None


def _number(literal: Literal) -> int | float:
    """As SQLite reads it: whole numbers while they fit."""
    number = literal.value
    assert isinstance(number, int | float)
    return number if abs(number) <= LARGEST else float(number)


def _escaped(character: str) -> str:
    return f"[{character}]" if character in SPECIAL else character
