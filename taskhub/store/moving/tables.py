"""Which tables there are to copy, read off the schema: one that is new comes along by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Integer

from taskhub.store.schema import metadata

Row = tuple[Any, ...]
Key = tuple[Any, ...]

LEASE = ("Tasks", "LeaseUntil")
"""By the clock of the back end: a copied lease is over, and says so on any clock."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table as a copy sees it."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    is_counted: bool
    """Whether the database counts its key up by itself."""

    def key_of(self, row: Row) -> Key:
        """The key of one of its rows."""
        return tuple(row[self.columns.index(name)] for name in self.key)


def tables() -> list[Table]:
    """All of them, in the order of the schema."""
    return [
        Table(
            table.name,
            tuple(column.name for column in table.columns),
            tuple(column.name for column in table.primary_key),
            _is_counted(table.primary_key.columns.values()),
        )
        for table in metadata.tables.values()
    ]


def carried(table: Table, row: Row) -> Row:
    """A row as it stands in the target: a lease of the source is over there."""
    if table.name != LEASE[0]:
        return row
    place = table.columns.index(LEASE[1])
    if row[place] is None:
        return row
    return (*row[:place], 0.0, *row[place + 1 :])


def quoted(names: Sequence[str]) -> str:
    """Names as standard SQL writes them."""
    return ", ".join(f'"{name}"' for name in names)


def counting(table: Table) -> str:
    """The statement that counts its rows."""
    return f"SELECT count(*) FROM {quoted([table.name])}"  # noqa: S608 - a name of the schema


def numbering(table: Table) -> str:
    """The statement that finds the highest number."""
    return f"SELECT max({quoted(table.key)}) FROM {quoted([table.name])}"  # noqa: S608 - the same


def reading(table: Table, behind: str = "") -> str:
    """The statement that reads it in the order of its key; `behind` are the places of a key."""
    key = quoted(table.key)
    where = f"WHERE ({key}) > ({behind}) " if behind else ""
    columns, name = quoted(table.columns), quoted([table.name])
    return f"SELECT {columns} FROM {name} {where}ORDER BY {key}"  # noqa: S608 - the same


def inserting(table: Table, values: str) -> str:
    """The statement that puts a row, its values at these places."""
    columns, name = quoted(table.columns), quoted([table.name])
    return f"INSERT INTO {name} ({columns}) VALUES ({values})"  # noqa: S608 - the same


def _is_counted(key: Sequence[Any]) -> bool:
    return len(key) == 1 and isinstance(key[0].type, Integer)  # BigInteger is one
