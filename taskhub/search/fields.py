"""What each field holds and which operators make sense on it; the grammar reads this table."""

from __future__ import annotations

from enum import Enum, auto

from taskhub.search.query import Field, Op


class Kind(Enum):
    """How the values of a field are read."""

    STATUS = auto()
    NAME = auto()
    """A word that is exactly so: types, queues, keys, fingerprints, who made it."""
    ID = auto()
    TEXT = auto()
    """Words for people: compared without regard to case."""
    NUMBER = auto()
    TIME = auto()
    AGE = auto()
    JSON = auto()


ORDER = frozenset({Op.LT, Op.LE, Op.GT, Op.GE})

OPERATORS: dict[Kind, frozenset[Op]] = {
    Kind.STATUS: frozenset({Op.EQ}),
    Kind.NAME: frozenset({Op.EQ, Op.HAS}),
    Kind.ID: frozenset({Op.EQ}),
    Kind.TEXT: frozenset({Op.EQ, Op.HAS}),
    Kind.NUMBER: ORDER | {Op.EQ},
    Kind.TIME: ORDER | {Op.EQ},
    Kind.AGE: ORDER,
    Kind.JSON: frozenset(Op),
}

KINDS: dict[Field, Kind] = {
    Field.STATUS: Kind.STATUS,
    Field.TYPE: Kind.NAME,
    Field.QUEUE: Kind.NAME,
    Field.GROUP_KEY: Kind.NAME,
    Field.ID: Kind.ID,
    Field.CREATED_BY: Kind.NAME,
    Field.TITLE: Kind.TEXT,
    Field.ERROR: Kind.TEXT,
    Field.FINGERPRINT: Kind.NAME,
    Field.PRIORITY: Kind.NUMBER,
    Field.ATTEMPTS: Kind.NUMBER,
    Field.MAX_ATTEMPTS: Kind.NUMBER,
    Field.CREATED: Kind.TIME,
    Field.UPDATED: Kind.TIME,
    Field.STARTED: Kind.TIME,
    Field.FINISHED: Kind.TIME,
    Field.RUN_AT: Kind.TIME,
    Field.AGE: Kind.AGE,
    Field.PAYLOAD: Kind.JSON,
    Field.RESULT: Kind.JSON,
}

BY_NAME = {field.value.lower(): field for field in Field}


def natural(kind: Kind) -> Op:
    """What a colon alone means: a text contains the value, everything else is it."""
    return Op.HAS if kind is Kind.TEXT else Op.EQ
