"""What a server's errors mean, in words that never hold an address, a password or a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import pyodbc

from taskhub.errors import StoreDown, StoreFull, StoreLocked, Trouble
from taskhub.store.steps.batch import BAD_VALUES


class BadData(Exception):
    """One row's values cannot be stored."""


BAD_DATA: tuple[type[Exception], ...] = (BadData, *BAD_VALUES)
"""Errors that one row's values can cause; then each write is tried alone."""


class Meaning(Enum):
    """What follows from an error."""

    BAD_DATA = "bad data"
    LOCKED = "locked"
    FULL = "full"
    DEADLOCK = "deadlock"
    """Undone in favour of others: the whole transaction is simply done once more."""
    MOVING = "moving"
    """The server gave us up for a while, and says that it did nothing."""
    LATE = "late"
    """It took longer than it may, or was stopped."""
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Said:
    """The codes of an error: the driver's word for it, and the server's number."""

    state: str
    number: int


_NUMBER = re.compile(r"\((-?\d+)\) \(SQL\w+\)")


def said(error: pyodbc.Error) -> Said:
    """What an error says; a number 0 where the server has said none."""
    words = [str(word) for word in error.args]
    state = next((word for word in words if re.fullmatch(r"[0-9A-Z]{5}", word)), "")
    numbers = _NUMBER.findall(" ".join(words))
    return Said(state, int(numbers[-1]) if numbers else 0)  # values may look like one: it is last


@dataclass(frozen=True, slots=True)
class Codes:
    """The meanings of a server's codes; a number counts before a state."""

    numbers: Mapping[int, Meaning]
    states: Mapping[str, Meaning]
    sentences: Mapping[int | str, str]

    def meaning(self, error: pyodbc.Error) -> Meaning | None:
        """What an error means; None: it is a bug of ours."""
        code = said(error)
        found = self.numbers.get(code.number) or self.states.get(code.state)
        return found or self.states.get(code.state[:2])

    def trouble(self, error: pyodbc.Error) -> Trouble | None:
        """The trouble around us that the server speaks of, if it is one."""
        match self.meaning(error):
            case None | Meaning.BAD_DATA:
                return None
            case Meaning.FULL:
                return StoreFull()
            case Meaning.LOCKED | Meaning.DEADLOCK:
                return StoreLocked()
        code = said(error)
        sentence = self.sentences.get(code.number) or self.sentences.get(code.state, "")
        return StoreDown(sentence)


REFUSED = "The database refuses our user or password: look at [store]."

SQL_SERVER = Codes(
    numbers={
        1205: Meaning.DEADLOCK,
        3960: Meaning.DEADLOCK,
        1222: Meaning.LOCKED,
        1101: Meaning.FULL,
        1105: Meaning.FULL,
        9002: Meaning.FULL,
        18456: Meaning.DOWN,
        2601: Meaning.BAD_DATA,
        2627: Meaning.BAD_DATA,
    },
    states={
        "22": Meaning.BAD_DATA,
        "23": Meaning.BAD_DATA,
        "08": Meaning.DOWN,
        "28": Meaning.DOWN,
        "IM": Meaning.DOWN,
        "HYT00": Meaning.LATE,
        "HYT01": Meaning.LATE,
        "HY008": Meaning.LATE,
    },
    sentences={18456: REFUSED, "28000": REFUSED},
)
"""Of SQL Server and Azure SQL."""


def is_late(trouble: BaseException) -> bool:
    """Whether a statement was ended since it took too long, or since we have stopped it."""
    cause = trouble.__cause__
    return isinstance(cause, pyodbc.Error) and SQL_SERVER.meaning(cause) is Meaning.LATE
