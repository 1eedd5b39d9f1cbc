"""Copies every table of one database into another; killed at any moment, it goes on from there.

A target is empty, or the half of a copy: its schema then has a revision that no program starts
with, and the table of notes says whose copy it is and which key of each table was the last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass

import msgspec

from taskhub.errors import CopyFailed
from taskhub.store import migrations
from taskhub.store.moving.side import Side, Unfit
from taskhub.store.moving.tables import Key, Row, Table, carried, tables
from taskhub.store.moving.verifying import Copied, Tell, Told, same

ROWS, SIZE = 1_000, 4 << 20
"""A batch is so many rows at most, or so many characters: one transaction of the target."""
SOURCE = "the source"
"""The note of what the source was when the copy began; the others are named for tables."""
ANEW = "empty the target and begin anew"
COPYING = migrations.COPYING + migrations.NEWEST


@dataclass(frozen=True, slots=True)
class Plan:
    """What there is to copy: the rows of each table, and those that are in the target already."""

    rows: Mapping[str, int]
    done: Mapping[str, int]


def look(source: Side, target: Side) -> Plan:
    """What a copy would do; refuses what that would refuse, and changes nothing."""
    with _held(source), ExitStack() as stack:
        notes: Mapping[str, str] = {}
        if target.is_there():
            stack.enter_context(_opened(target))
            notes = _resumed(source, target)
        return _plan(source, target, notes)


def copy(source: Side, target: Side, tell: Tell) -> list[Copied]:
    """Copy, or go on; the tables, each the same on both sides. Raises CopyFailed, Trouble."""
    with _held(source), _opened(target):
        notes = _resumed(source, target)
        if not notes:
            target.migrate()
            notes = {SOURCE: _standing(source)}
            target.begin(COPYING, notes)
        for table in tables():
            _copy_table(source, target, table, notes.get(table.name), tell)
        target.close()
        target.open()  # what is checked is what the next one to open it finds
        checked = [same(source, target, table, tell) for table in tables()]
        target.end(migrations.NEWEST)
        return checked


@contextmanager
def _opened(side: Side) -> Iterator[None]:
    with closing(side):
        side.open()
        yield


@contextmanager
def _held(source: Side) -> Iterator[None]:
    """The source, of the newest schema and still; raises CopyFailed while anything lives."""
    if not source.is_there():
        raise CopyFailed(f"{source.name}: there is no such database")
    with _opened(source):
        _refuse_other_schema(source)
        source.hold()
        count, seconds = source.leases()
        if count:
            raise CopyFailed(
                f"{source.name}: {count:,} leases are not over: stop all workers, external ones "
                f"too, and try again in {seconds:,.0f} s"
            )
        yield


def _refuse_other_schema(source: Side) -> None:
    found = source.revision()
    if found is None:
        raise CopyFailed(f"{source.name}: it is empty, there is nothing to copy")
    if missing := migrations.missing_after(found):
        raise CopyFailed(
            f"{source.name}: its schema is {found}, not {missing[-1]}: run `taskhub db migrate` "
            "on it first"
        )


def _resumed(source: Side, target: Side) -> dict[str, str]:
    """The notes of the copy that was begun in the target; none: it is empty. Raises CopyFailed."""
    found = target.revision()
    if found is None or not found.startswith(migrations.COPYING):
        migrations.missing_after(found)  # a newer one is not ours to fill
        _refuse_rows(target)
        return {}
    if found != COPYING:
        raise CopyFailed(f"{target.name}: another version of TaskHub began to copy: {ANEW}")
    notes = target.notes()
    if notes.get(SOURCE) != _standing(source):
        raise CopyFailed(
            f"{target.name}: it is half of a copy of another database, or {source.name} was at "
            f"work since: {ANEW}"
        )
    return notes


def _refuse_rows(target: Side) -> None:
    known = target.names()
    for table in tables():
        if table.name in known and (rows := target.count(table)):
            raise CopyFailed(
                f"{target.name}: it is not empty, and no half of a copy: {rows:,} rows in "
                f"{table.name}"
            )


def _standing(source: Side) -> str:
    """What tells whether the source has been at work: how much there is, and the last numbers."""
    counts = {table.name: source.count(table) for table in tables()}
    last = {table.name: source.last(table) for table in tables() if table.is_counted}
    return msgspec.json.encode([counts, last]).decode()


def _plan(source: Side, target: Side, notes: Mapping[str, str]) -> Plan:
    rows = {table.name: source.count(table) for table in tables()}
    done = {table.name: target.count(table) for table in tables()} if notes else {}
    return Plan(rows, done)


def _copy_table(source: Side, target: Side, table: Table, note: str | None, tell: Tell) -> None:
    after = None if note is None else tuple(msgspec.json.decode(note))
    told = Told(tell, "copy", table.name, source.count(table))
    done = target.count(table)
    told.start(done)
    for batch in _batches(carried(table, row) for row in source.rows(table, after)):
        _put(target, table, batch)
        done += len(batch)
        told.at(done)


def _put(target: Side, table: Table, rows: Sequence[Row]) -> None:
    """Insert a batch; one that is refused is halved until the row is found that is to blame."""
    key = table.key_of(rows[-1])
    try:
        target.put(table, rows, msgspec.json.encode(key).decode())
    except Unfit as error:
        if len(rows) == 1:
            raise CopyFailed(_unfit(target, table, key, str(error))) from None
        middle = len(rows) // 2
        _put(target, table, rows[:middle])
        _put(target, table, rows[middle:])


def _unfit(target: Side, table: Table, key: Key, why: str) -> str:
    where = " ".join(map(str, key))
    return f"{table.name} {where}: {target.name} does not take this row: {why}"


def _batches(rows: Iterable[Row]) -> Iterator[list[Row]]:
    batch: list[Row] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += sum(len(value) for value in row if isinstance(value, str | bytes))
        if len(batch) >= ROWS or size >= SIZE:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
