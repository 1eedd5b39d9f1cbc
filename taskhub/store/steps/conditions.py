"""A term of a search as a condition of SQL: fixed pieces and parameters, never a word of its text.

A condition may be NULL where a column is; a term that is negated holds then. What a database calls
things it says itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable

from taskhub.search import Field, Literal, Number, Op, Path, Term, Text, Value, spans
from taskhub.search.fields import KINDS, ORDER, Kind

COLUMNS = {
    Field.STATUS: "Status",
    Field.TYPE: "Type",
    Field.QUEUE: "Queue",
    Field.GROUP_KEY: "GroupKey",
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

TEXT_LOOKED = 10_000
"""Characters of a text in a document that a pattern sees: a pattern costs as many steps as both
have characters multiplied, so a long one in a megabyte of `a` would take half a minute."""

Wanted = Callable[[str, str], str]
"""The condition on the kind and the value of a place in a document."""


class SqlConditions(ABC):
    """Makes conditions and keeps their parameters; `now` in microseconds since 1970."""

    always = "true"
    string, null = "'string'", "'null'"
    """How the database calls these kinds of values in a document."""

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
        return self._unless(text) if term.negated else f"({text})"

    def _named(self, value: object) -> str:
        """Keep a parameter; how a text names it."""
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f":{name}"

    # ---- what each database says in its own words

    def _text(self, value: str) -> str:
        """A parameter that is a text."""
        return self._named(value)

    @abstractmethod
    def _number(self, value: float) -> str:
        """A parameter that is compared with a column of numbers."""

    def _unless(self, text: str) -> str:
        """That this is not so, or not known."""
        return f"({text}) IS NOT TRUE"

    @abstractmethod
    def _matches(self, value: str, text: Text, op: Op, *, folds: bool) -> str:
        """That a value looks so, or with HAS a part of it; `folds`: in whatever case."""

    @abstractmethod
    def _in_document(self, column: str, path: Path, wanted: Wanted, *, missing: bool) -> str:
        """That the place is as wanted; a document that is none is `missing`, and breaks nothing."""

    @abstractmethod
    def _beginning(self, value: str) -> str:
        """As much of a text in a document as a pattern sees."""

    def _exactly(self, value: str, op: Op, text: str) -> str:
        """That a text in a document is this one."""
        return f"{value} {op} {self._text(text)}"

    @abstractmethod
    def _is_truth(self, kind: str, value: str, word: str) -> str:
        """That a place holds `true` or `false`, whichever is given."""

    @abstractmethod
    def _is_number(self, op: Op, wanted: float, kind: str, value: str) -> str:
        """That a place holds such a number."""

    # ---- what they all say

    def _words(self, term: Term) -> str:
        """Exact words by equality, which indexes know; all else by patterns."""
        column = COLUMNS[term.field]
        folds = term.op is Op.HAS or KINDS[term.field] is Kind.TEXT
        texts = [value for value in term.values if isinstance(value, Text)]
        exact = [text.pieces[0] for text in texts if text.is_plain and not folds]
        some = [f"{column} IN ({','.join(map(self._text, exact))})"] if exact else []
        loose = [text for text in texts if folds or not text.is_plain]
        some += [self._matches(column, text, term.op, folds=folds) for text in loose]
        return " OR ".join(some)

    def _numbers(self, term: Term) -> str:
        column = COLUMNS[term.field]
        numbers = [value.value for value in term.values if isinstance(value, Number)]
        return " OR ".join(f"{column} {term.op} {self._number(one)}" for one in numbers)

    def _times(self, term: Term) -> str:
        column = COLUMNS[term.field]
        some = [self.always for value in term.values if isinstance(value, Text)]  # a star: any time
        times = tuple(value for value in term.values if not isinstance(value, Text))
        for start, end in spans(Term(term.field, term.op, times), self.now):
            some.append(f"{column} >= {self._number(start)} AND {column} < {self._number(end)}")
        return f"{column} IS NOT NULL AND ({' OR '.join(some)})"

    def _documents(self, term: Term) -> str:
        """A document that is none (no result yet) has no members."""

        def wanted(kind: str, value: str) -> str:
            return " OR ".join(self._member(term.op, one, kind, value) for one in term.values)

        missing = any(isinstance(one, Literal) and one.value is None for one in term.values)
        return self._in_document(COLUMNS[term.field], term.path, wanted, missing=missing)

    def _member(self, op: Op, wanted: Value, kind: str, value: str) -> str:
        if isinstance(wanted, Literal):
            return self._literal(op, wanted, kind, value)
        assert isinstance(wanted, Text)
        if wanted.is_anything:
            return f"{kind} <> {self.null}"
        if op is Op.HAS or not wanted.is_plain:
            looks = self._matches(self._beginning(value), wanted, op, folds=op is Op.HAS)
            return f"({kind} = {self.string} AND {looks})"
        return f"({kind} = {self.string} AND {self._exactly(value, op, wanted.pieces[0])})"

    def _literal(self, op: Op, wanted: Literal, kind: str, value: str) -> str:
        """What may be meant as JSON's own value is also found as the text that looks so."""
        found = wanted.value
        if op in ORDER:
            assert isinstance(found, int | float)
            return self._is_number(op, found, kind, value)
        text = f"({kind} = {self.string} AND {self._exactly(value, Op.EQ, wanted.text)})"
        if found is None:
            return f"{text} OR coalesce({kind}, {self.null}) = {self.null}"
        if isinstance(found, bool):
            return f"{text} OR {self._is_truth(kind, value, wanted.text)}"
        return f"{text} OR {self._is_number(Op.EQ, found, kind, value)}"


MAKERS: dict[Kind, Callable[[SqlConditions, Term], str]] = {
    Kind.STATUS: SqlConditions._words,  # noqa: SLF001 - of this module's own class
    Kind.NAME: SqlConditions._words,  # noqa: SLF001
    Kind.ID: SqlConditions._words,  # noqa: SLF001
    Kind.TEXT: SqlConditions._words,  # noqa: SLF001
    Kind.NUMBER: SqlConditions._numbers,  # noqa: SLF001
    Kind.TIME: SqlConditions._times,  # noqa: SLF001
    Kind.AGE: SqlConditions._times,  # noqa: SLF001
    Kind.JSON: SqlConditions._documents,  # noqa: SLF001
}
