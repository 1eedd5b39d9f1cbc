"""What a server's errors mean, in words that never hold an address, a password or a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto

import pyodbc

from taskhub.errors import StoreDown, StoreFull, StoreLocked, Trouble
from taskhub.store.steps.batch import BAD_VALUES


class BadData(Exception):
    """One row's values cannot be stored; the server's words for it would repeat them."""


BAD_DATA: tuple[type[Exception], ...] = (BadData, *BAD_VALUES)
"""Errors that one row's values can cause; then each write is tried alone."""


class Meaning(Enum):
    """What follows from an error."""

    BAD_DATA = auto()
    LOCKED = auto()
    FULL = auto()
    AGAIN = auto()
    """Undone in favour of others: the whole transaction is simply done once more."""
    MOVING = auto()
    """The server is moved, woken up or short of something: soon another connection has it."""
    LATE = auto()
    """A statement took longer than it may, or we have stopped it."""
    DENIED = auto()
    """The server is well, and does not do this for us."""
    DOWN = auto()


@dataclass(frozen=True, slots=True)
class Said:
    """The codes of an error: the driver's word for it, and the server's number."""

    state: str
    number: int


_NUMBER = re.compile(r"\((-?[0-9]{1,9})\) \(SQL\w+\)", re.ASCII)


def said(error: BaseException) -> Said:
    """What an error says; a number 0 where the server has said none.

    Its text may hold values that look like codes: the true ones stand behind them.
    """
    words = [str(word) for word in error.args]
    state = next((word for word in words if re.fullmatch(r"[0-9A-Z]{5}", word)), "")
    numbers = _NUMBER.findall(" ".join(words))
    return Said(state, int(numbers[-1]) if numbers else 0)


@dataclass(frozen=True, slots=True)
class Codes:
    """The meanings of a server's codes: of numbers, else of states, else of classes of states."""

    numbers: Mapping[int, Meaning]
    states: Mapping[str, Meaning]
    sentences: Mapping[int | str, str]

    def meaning(self, error: BaseException) -> Meaning | None:
        """What an error means; None: it is a bug of ours."""
        code = said(error)
        found = self.numbers.get(code.number) or self.states.get(code.state)
        if found is None and code.state == "HY000" and code.number <= 0:
            return Meaning.DOWN  # the driver is at a loss, and we with it
        return found or self.states.get(code.state[:2])

    def trouble(self, error: BaseException) -> Trouble | None:
        """The trouble around us that the server speaks of, if it is one."""
        match self.meaning(error):
            case None | Meaning.BAD_DATA:
                return None
            case Meaning.FULL:
                return StoreFull()
            case Meaning.LOCKED | Meaning.AGAIN:
                return StoreLocked()
        return StoreDown(self._sentence(said(error)))

    def _sentence(self, code: Said) -> str:
        return self.sentences.get(code.number) or self.sentences.get(code.state, "")


def is_late(trouble: BaseException, codes: Codes | None = None) -> bool:
    """Whether a statement was ended since it took too long, or since we have stopped it."""
    cause = trouble.__cause__
    return isinstance(cause, pyodbc.Error) and (codes or SQL_SERVER).meaning(cause) is Meaning.LATE


def stopped() -> Exception:
    """The error of a statement that we have stopped; some drivers call it a success."""
    error: Exception = pyodbc.OperationalError("HY008", "[HY008] stopped")
    return error


REFUSED = "The database refuses our user or password: look at [store]."
NO_DATABASE = "The server has no such database, or keeps us out: look at [store] url."
FORBIDDEN = "The database does not allow our user to do this."
NO_SNAPSHOTS = (
    "The database allows no snapshots: SET ALLOW_SNAPSHOT_ISOLATION ON (docs/sqlserver.md)."
)
READ_ONLY = "The server takes no writes now; it may be a secondary."
MOVED = "The server is busy, or the database is moved or woken up. Try again shortly."
CROWDED = "The server has no free connections or workers."
SLOW = "The server did not answer in time."
NO_LINE = "The server cannot be reached, or the connection was lost."
NO_TLS = (
    "No encrypted connection that can be trusted: look at encrypt and the server's certificate."
)
NO_DRIVER = "The ODBC driver, or a library that it needs, does not load: taskhub doctor says more."

_MOVING = (
    *(615, 617, 669, 921, 926, 3966, 4060, 4221, 10922, 10928, 10929, 10936),
    *(40143, 40166, 40197, 40501, 40540, 40549, 40550, 40551, 40552, 40553, 40613),
    *(42108, 42109, 49918, 49919, 49920),
    *(596, 701, 802, 8628, 8645, 8651, 1203, 1204, 1221),
)
_AGAIN = (1205, 3935, 3960, 3961, 41301, 41302, 41305, 41325, 41839)
_BAD = (245, 511, 515, 547, 1946, 2601, 2627, 2628, 8114, 8115, 8152, 8169, 13606, 13608, 13609)
_DOWN = (*(64, 109, 121, 233, 10053, 10054, 10060, 11001, 17142, 17809, 6005, 983), 978)
_DENIED = (229, 230, 262, 300, 916, 3906, 3908, 3952, 18452, 18456, 18470, 18486, 18487, 18488)

SQL_SERVER = Codes(
    numbers={
        **dict.fromkeys(_MOVING, Meaning.MOVING),
        **dict.fromkeys(_AGAIN, Meaning.AGAIN),
        **dict.fromkeys(_BAD, Meaning.BAD_DATA),
        **dict.fromkeys(_DOWN, Meaning.DOWN),
        **dict.fromkeys(_DENIED, Meaning.DENIED),
        **dict.fromkeys((1101, 1105, 9002, 40544), Meaning.FULL),
        1222: Meaning.LOCKED,
        40615: Meaning.DENIED,
    },
    states={
        "01000": Meaning.DENIED,  # unixODBC's, where a driver does not load
        "08": Meaning.DOWN,
        "22": Meaning.BAD_DATA,
        "23": Meaning.BAD_DATA,
        "28": Meaning.DENIED,
        "40001": Meaning.AGAIN,
        "HY008": Meaning.LATE,
        "HYT00": Meaning.LATE,
        "HYT01": Meaning.DOWN,
        "IM": Meaning.DENIED,
    },
    sentences={
        **dict.fromkeys((18452, 18456, 18470, 18486, 18487, 18488, "28000"), REFUSED),
        **dict.fromkeys((229, 230, 262, 300, 916), FORBIDDEN),
        **dict.fromkeys((978, 983, 3906, 3908), READ_ONLY),
        **dict.fromkeys(_MOVING, MOVED),
        **dict.fromkeys((10928, 10929, 10936, 17809), CROWDED),
        **dict.fromkeys(("HYT00", "HYT01"), SLOW),
        **dict.fromkeys(("08001", "08S01", "08004"), NO_LINE),
        **dict.fromkeys(("01000", "IM002", "IM003", "IM004"), NO_DRIVER),
        3952: NO_SNAPSHOTS,
        4060: NO_DATABASE,
        40615: "The server's firewall keeps this host out.",
    },
)
"""Of SQL Server and Azure SQL."""
