"""A term of a search as a condition of SQL: fixed pieces and parameters, never a word of its text.

A condition may be NULL where a column is; a term that is negated holds then. Names are written as
in the `.sql` files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
FARTHEST = 2**31 - 1
"""The last place in a list that can be asked for."""

NUMBER = "'^-?[0-9.]{1,255}([eE][-+]?[0-9]{1,3})?$'"
"""What a number in a document looks like that the server can compare."""

TEXT_LOOKED = 10_000
"""Characters of a text in a document that a pattern sees."""


class Conditions:
    """Makes conditions and keeps their parameters; `now` in microseconds since 1970."""

    always = "true"

    def __init__(self, now: int) -> None:
        """Begin without parameters."""
        self.now = now
        self.values: dict[str, object] = {}

    def all_of(self, terms: Iterable[Term]) -> str:
        """Every term must hold; where there are none, it is always so."""
        return " AND ".join(map(self.of, terms)) or self.always

    def of(self, term: Term) -> str:
        """One term."""
        text = MAKERS[KINDS[term.field]](self, term)
        return f"({text}) IS NOT TRUE" if term.negated else f"({text})"

    def _put(self, value: object, kind: str = "text") -> str:
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"CAST(:{name} AS {kind})"

    def _words(self, term: Term) -> str:
        """Exact words by equality, which indexes know; all else by patterns."""
        column = COLUMNS[term.field]
        folds = term.op is Op.HAS or KINDS[term.field] is Kind.TEXT
        texts = [value for value in term.values if isinstance(value, Text)]
        exact = [text.pieces[0] for text in texts if text.is_plain and not folds]
        some = [f"{column} IN ({','.join(map(self._put, exact))})"] if exact else []
        loose = [text for text in texts if folds or not text.is_plain]
        patterns = [_pattern(text, term.op, folds=folds) for text in loose]
        return " OR ".join(some + [f"{column} ~ {self._put(one)}" for one in patterns])

    def _numbers(self, term: Term) -> str:
        column = COLUMNS[term.field]
        numbers = [value.value for value in term.values if isinstance(value, Number)]
        return " OR ".join(f"{column} {term.op} {self._put(one, 'numeric')}" for one in numbers)

    def _times(self, term: Term) -> str:
        column = COLUMNS[term.field]
        some = [self.always for value in term.values if isinstance(value, Text)]  # a star: any time
        times = tuple(value for value in term.values if not isinstance(value, Text))
        for start, end in spans(Term(term.field, term.op, times), self.now):
            since, before = self._put(start, "numeric"), self._put(end, "numeric")
            some.append(f"{column} >= {since} AND {column} < {before}")
        return f"{column} IS NOT NULL AND ({' OR '.join(some)})"

    def _documents(self, term: Term) -> str:
        """A document that is none (no result yet) has no members, and breaks no search."""
        column = COLUMNS[term.field]
        found = self._place(column, term.path)
        wanted = [self._member(term.op, one, found) for one in term.values]
        missing = str(any(_is_null(one) for one in term.values)).lower()
        readable = f"{column} IS JSON AND strpos({column}, '\\u0000') = 0"
        return f"CASE WHEN {readable} THEN {' OR '.join(wanted)} ELSE {missing} END"

    def _place(self, column: str, path: Path) -> str:
        """A step into an array finds nothing in an object, and the other way round."""
        steps = [
            self._put(min(step, FARTHEST), "integer") if isinstance(step, int) else self._put(step)
            for step in path
        ]
        return f"({' -> '.join([f'{column}::json', *steps])})"

    def _member(self, op: Op, wanted: Value, found: str) -> str:
        kind, value = f"json_typeof({found})", f"{found} #>> '{{}}'"
        if isinstance(wanted, Literal):
            return self._literal(op, wanted, kind, value)
        assert isinstance(wanted, Text)
        if wanted.is_anything:
            return f"{kind} <> 'null'"
        if op is Op.HAS or not wanted.is_plain:
            pattern = self._put(_pattern(wanted, op, folds=op is Op.HAS))
            return f"({kind} = 'string' AND left({value}, {TEXT_LOOKED}) ~ {pattern})"
        return f"({kind} = 'string' AND ({value}) COLLATE \"C\" {op} {self._put(wanted.pieces[0])})"

    def _literal(self, op: Op, wanted: Literal, kind: str, value: str) -> str:
        """What may be meant as JSON's own value is also found as the text that looks so."""
        if op in ORDER:
            return self._is_number(op, wanted, kind, value)
        text = f"({kind} = 'string' AND {value} = {self._put(wanted.text)})"
        if wanted.value is None:
            return f"{text} OR coalesce({kind}, 'null') = 'null'"
        if isinstance(wanted.value, bool):
            word = self._put(wanted.text)
            return f"{text} OR ({kind} = 'boolean' AND {value} = {word})"
        return f"{text} OR {self._is_number(Op.EQ, wanted, kind, value)}"

    def _is_number(self, op: Op, wanted: Literal, kind: str, value: str) -> str:
        """Compared exactly, however many digits they have, within reason."""
        number = wanted.value
        assert isinstance(number, int | float)
        place = self._put(repr(number), "numeric")
        is_number = f"{kind} = 'number' AND {value} ~ {NUMBER}"
        return f"CASE WHEN {is_number} THEN ({value})::numeric {op} {place} ELSE false END"


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


def _pattern(text: Text, op: Op, *, folds: bool) -> str:
    """A regular expression that matches the whole text, or with HAS a part of it."""
    letter = _folded if folds else _escaped
    whole = ".*".join("".join(map(letter, piece)) for piece in text.pieces)
    return whole if op is Op.HAS else f"^{whole}$"


def _folded(character: str) -> str:
    either = cased(character)
    return f"(?:{'|'.join(map(_escaped, either))})" if len(either) > 1 else _escaped(character)


def _escaped(character: str) -> str:
    is_plain = character.isalnum() or character.isspace() or not character.isascii()
    return character if is_plain else f"\\{character}"


def _is_null(value: Value) -> bool:
    return isinstance(value, Literal) and value.value is None
