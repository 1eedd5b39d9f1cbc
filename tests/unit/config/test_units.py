"""`[units]`: what a unit runs."""

from __future__ import annotations

import pytest
from taskhub.config.sections import UNITS
from taskhub.config.units import ACTORS, UnitEntry, actors, children, entries, parse_entry


def test_an_entry_is_an_actor_or_a_unit_with_copies() -> None:
    """The syntax of the configuration."""
    assert parse_entry("store") == "store"
    assert parse_entry("unit:worker") == UnitEntry("worker", 1)
    assert parse_entry("unit:worker*4") == UnitEntry("worker", 4)


@pytest.mark.parametrize(
    "text",
    ["", "stor", "unit:", "unit:*2", "unit:worker*", "unit:worker*-1", "unit:A", "unit:a*65"],
)
def test_other_entries_are_none(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="expected"):
        parse_entry(text)


def test_copies_have_numbers_from_one() -> None:
    """The names of processes, of their sockets and of the `unit` label."""
    assert UnitEntry("worker", 2).instances == ["worker-1", "worker-2"]


def test_the_tree_runs_every_actor() -> None:
    """Its own and its children's."""
    assert actors(UNITS, "tree") == frozenset(ACTORS)
    assert children(UNITS, "tree") == [UnitEntry("worker"), UnitEntry("api")]


def test_entries_keep_their_order() -> None:
    """It is the order of the start."""
    assert entries(UNITS, "tree")[0] == "store"
    assert entries(UNITS, "tree")[-1] == UnitEntry("api")
