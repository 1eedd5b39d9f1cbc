"""Statements by name: how the `.sql` files are read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from taskhub.store.sql import load

GOOD = """-- A file about fruit.

-- columns = what we read
Name, Colour

-- find: one fruit
-- Some words: they are for the reader.
SELECT {columns}
  FROM Fruit
 WHERE Name = :name;

-- count: all fruit
SELECT count(*) FROM Fruit;
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty package, `fruit`, that can be imported."""
    folder = tmp_path / "fruit"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    yield folder
    sys.modules.pop("fruit", None)


def test_statements_come_by_name_and_fragments_are_filled_in(package: Path) -> None:
    """Comments are not sent; a fragment is no statement."""
    (package / "fruit.sql").write_text(GOOD, encoding="utf-8")

    assert load("fruit") == {
        "find": "SELECT Name, Colour\n  FROM Fruit\n WHERE Name = :name",
        "count": "SELECT count(*) FROM Fruit",
    }


def test_a_name_is_given_once(package: Path) -> None:
    """Else one of the two would never run, silently."""
    for name in ("one", "two"):
        (package / f"{name}.sql").write_text(GOOD, encoding="utf-8")

    with pytest.raises(ValueError, match="columns"):
        load("fruit")


def test_an_unknown_fragment_is_an_error(package: Path) -> None:
    """A typing error shows at the start."""
    (package / "fruit.sql").write_text(GOOD.replace("{columns}", "{colums}"), encoding="utf-8")

    with pytest.raises(KeyError):
        load("fruit")
