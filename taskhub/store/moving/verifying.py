"""Whether two databases hold the same: a count and a checksum for each table, in any order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b

import msgspec

from taskhub.errors import CopyFailed
from taskhub.store.moving.side import Side
from taskhub.store.moving.tables import Row, Table, carried

BITS = 128


@dataclass(frozen=True, slots=True)
class Progress:
    """How far it is: `act` ("copy", "read", "compare") on a table."""

    act: str
    table: str
    done: int
    of: int
    per_second: float


@dataclass(frozen=True, slots=True)
class Copied:
    """A table that is the same on both sides."""

    table: str
    rows: int
    checksum: str


Tell = Callable[[Progress], None]
EVERY = 500
"""Rows between two words about how far it is."""


class Told:
    """Tells how far a table is; whoever listens chooses what to show."""

    def __init__(self, tell: Tell, act: str, table: str, of: int) -> None:
        """Begin."""
        self._tell, self._act, self._table, self._of = tell, act, table, of
        self._begun, self._first = 0.0, 0

    def start(self, done: int) -> None:
        """The clock runs; so many were done before."""
        self._begun, self._first = time.monotonic(), done
        self.at(done)

    def at(self, done: int) -> None:
        """So many are done."""
        seconds = max(time.monotonic() - self._begun, 1e-6)
        speed = (done - self._first) / seconds
        self._tell(Progress(self._act, self._table, done, self._of, speed))

    def counted(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows as they are; told every so often."""
        done = 0
        self.start(done)
        for row in rows:
            yield row
            done += 1
            if done % EVERY == 0:
                self.at(done)
        if done % EVERY or not done:
            self.at(done)


def checksum(rows: Iterable[Row]) -> tuple[int, str]:
    """How many rows, and the sum of their digests: the same whatever their order is.

    NULL, an empty text, a number and a text of its digits are different things to it.
    """
    encode = msgspec.msgpack.Encoder().encode
    count = total = 0
    for row in rows:
        total += int.from_bytes(blake2b(encode(row), digest_size=BITS // 8).digest())
        count += 1
    return count, f"{total % (1 << BITS):032x}"


def same(source: Side, target: Side, table: Table, tell: Tell) -> Copied:
    """Read a table anew on both sides; raises CopyFailed where it is not the same."""
    rows = source.count(table)
    read, compare = (Told(tell, act, table.name, rows) for act in ("read", "compare"))
    ours = checksum(carried(table, row) for row in read.counted(source.rows(table)))
    theirs = checksum(compare.counted(target.rows(table)))
    if ours != theirs:
        raise CopyFailed(
            f"{table.name} differs: {ours[0]:,} rows, checksum {ours[1]}, in {source.name}; "
            f"{theirs[0]:,} rows, {theirs[1]}, in {target.name}: empty that and begin anew"
        )
    return Copied(table.name, *ours)
