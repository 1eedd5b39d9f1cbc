"""What a search says, as values: fields, operators, terms; all terms of a query must hold."""

from __future__ import annotations

import re
from datetime import date, datetime
from enum import StrEnum

import msgspec


class Field(StrEnum):
    """What a term speaks of, in the spelling of the API."""

    STATUS = "status"
    TYPE = "type"
    QUEUE = "queue"
    GROUP_KEY = "groupKey"
    ID = "id"
    CREATED_BY = "createdBy"
    TITLE = "title"
    ERROR = "error"
    FINGERPRINT = "fingerprint"
    PRIORITY = "priority"
    ATTEMPTS = "attempts"
    MAX_ATTEMPTS = "maxAttempts"
    CREATED = "created"
    UPDATED = "updated"
    STARTED = "started"
    FINISHED = "finished"
    RUN_AT = "runAt"
    AGE = "age"
    PAYLOAD = "payload"
    RESULT = "result"


class Op(StrEnum):
    """How the field and the value must stand to each other."""

    EQ = "="
    HAS = "~"
    """Contains this text, whatever the case of its letters."""
    LT = "<"
    LE = "<="
    GT = ">"
    GE = ">="


class Text(msgspec.Struct, frozen=True):
    """Pieces of text with anything at all between one and the next: `a*b` is ("a", "b")."""

    pieces: tuple[str, ...]

    @property
    def is_plain(self) -> bool:
        """Whether there is nothing to guess in it."""
        return len(self.pieces) == 1

    @property
    def is_anything(self) -> bool:
        """Whether it is a lone `*`: something must be there, whatever it is."""
        return self.pieces == ("", "")


class Number(msgspec.Struct, frozen=True):
    """A whole number."""

    value: int


class Literal(msgspec.Struct, frozen=True):
    """A number, true, false or null of JSON, as it was written: it may also be meant as text."""

    text: str

    @property
    def value(self) -> bool | int | float | None:
        """What it means in JSON."""
        found = msgspec.json.decode(self.text)
        assert found is None or isinstance(found, bool | int | float)
        return found


class Day(msgspec.Struct, frozen=True):
    """A whole day of UTC."""

    day: date


class At(msgspec.Struct, frozen=True):
    """A time in UTC: that whole second, or that microsecond when it has a fraction."""

    moment: datetime


class Age(msgspec.Struct, frozen=True):
    """How long ago, in seconds: a greater age is an earlier time."""

    seconds: int


class Offset(msgspec.Struct, frozen=True):
    """The time so many seconds from now; before now where it is negative."""

    seconds: int


Value = Text | Number | Literal | Day | At | Age | Offset
Path = tuple[str | int, ...]
"""Where in a JSON document: names of members and places in lists."""


class Term(msgspec.Struct, frozen=True):
    """One condition: any of the values will do. `negated`: none of them may."""

    field: Field
    op: Op
    values: tuple[Value, ...]
    negated: bool = False
    path: Path = ()


class Query(msgspec.Struct, frozen=True):
    """Terms that must all hold; none at all means every task."""

    terms: tuple[Term, ...] = ()

    def __and__(self, other: Query) -> Query:
        """What both find."""
        return Query(self.terms + other.terms)


EVERYTHING = Query()


def one_of(field: Field, *words: str) -> Query:
    """The tasks whose field is exactly one of these words."""
    return Query((Term(field, Op.EQ, tuple(Text((word,)) for word in words)),))


def cased(character: str) -> str:
    """The character, and what it is as a small and as a capital letter: these are the same here."""
    others = (c for c in (character.lower(), character.upper()) if len(c) == 1)
    return "".join(dict.fromkeys((character, *others)))


LITERAL = re.compile(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?|true|false|null"
)
"""What JSON has beside texts, lists and objects; a number that is too large is a text."""
