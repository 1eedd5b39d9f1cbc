"""The ends of a copy for the back ends under test: to add one, a word here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from taskhub.store.moving import Side
from taskhub.store.postgres.moving import PostgresSide
from taskhub.store.postgres.session import Address
from taskhub.store.sqlite.moving import SqliteSide

from tests.conformance.store.backends import BACKENDS

TIMEOUT = 0.2
SIDES: dict[str, Callable[[str], Side]] = {
    "sqlite": lambda place: SqliteSide(Path(place), TIMEOUT),
    "postgres": lambda place: PostgresSide(Address(place), TIMEOUT),
}
KINDS = sorted(SIDES.keys() & BACKENDS.keys())


def side(kind: str, place: str) -> Side:
    """One end of a copy."""
    return SIDES[kind](place)
