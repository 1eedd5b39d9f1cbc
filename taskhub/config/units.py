"""Reads `[units]`: which actors and which other units a unit runs; starts nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import msgspec

ACTORS = (
    "store",
    "events-server",
    "publisher",
    "subscriber",
    "heartbeat",
    "metrics",
    "pusher",
    "scheduler",
    "reaper",
    "pruner",
    "webhooks",
    "pool",
    "api",
)
"""Every actor that a unit may name."""

ROOT = "tree"
"""The unit that `taskhub run` means, and the instance name of the process at the root."""

COPIES_LIMIT = 64
_ENTRY = re.compile(r"unit:(?P<name>[a-z][a-z0-9-]{0,31})(?:\*(?P<count>[0-9]{1,3}))?")
UNIT_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")

Units = Mapping[str, Sequence[str]]


class UnitEntry(msgspec.Struct, frozen=True):
    """`unit:worker*4`: `count` child processes of one unit."""

    name: str
    count: int = 1

    @property
    def instances(self) -> list[str]:
        """What the processes are called: `worker-1`, `worker-2` ..."""
        return [f"{self.name}-{number}" for number in range(1, self.count + 1)]


def parse_entry(text: str) -> UnitEntry | str:
    """An entry of a unit: a unit of its own, or the name of an actor.

    Raises ValueError with what was expected; that units exist is not looked at.
    """
    if text in ACTORS:
        return text
    if match := _ENTRY.fullmatch(text):
        count = int(match["count"] or 1)
        if not 1 <= count <= COPIES_LIMIT:
            raise ValueError(f"expected 1 to {COPIES_LIMIT} copies")
        return UnitEntry(match["name"], count)
    raise ValueError("expected the name of an actor, or unit:NAME, or unit:NAME*COPIES")


def entries(units: Units, name: str) -> list[UnitEntry | str]:
    """What a unit of a checked configuration runs, in the order of start."""
    return [parse_entry(text) for text in units[name]]


def children(units: Units, name: str) -> list[UnitEntry]:
    """The units that run as child processes of a unit."""
    return [entry for entry in entries(units, name) if isinstance(entry, UnitEntry)]


def actors(units: Units, name: str) -> frozenset[str]:
    """Every actor that runs in a unit or in a child of it."""
    return frozenset(_actors(units, name, ()))


def _actors(units: Units, name: str, above: tuple[str, ...]) -> Iterator[str]:
    if name in above or name not in units:
        return
    for entry in entries(units, name):
        if isinstance(entry, UnitEntry):
            yield from _actors(units, entry.name, (*above, name))
        else:
            yield entry
