"""The choice of an ODBC driver, and the types that values are sent as."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pyodbc
import pytest
from taskhub.errors import ConfigError
from taskhub.store.mssql import drivers
from taskhub.store.mssql.drivers import FREETDS, LONG, MICROSOFT, SHORT, WHOLE, Driver

EIGHTEEN, SEVENTEEN = MICROSOFT
IN_WHEEL = Path("/lib/libmsodbcsql-18.6.so.2.1")


@pytest.mark.parametrize(
    ("installed", "path", "why_not", "name"),
    [
        ([FREETDS, SEVENTEEN, EIGHTEEN], IN_WHEEL, "", EIGHTEEN),
        ([FREETDS, SEVENTEEN], IN_WHEEL, "", SEVENTEEN),
        ([FREETDS], IN_WHEEL, "", str(IN_WHEEL)),
        ([FREETDS], IN_WHEEL, "libltdl.so.7 is missing", FREETDS),
        ([FREETDS, "PostgreSQL Unicode"], None, "", FREETDS),
    ],
)
def test_the_best_driver_is_taken(
    installed: list[str],
    path: Path | None,
    why_not: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An installed one of Microsoft's, the one in the wheel, FreeTDS."""
    _machine(monkeypatch, installed, path, why_not)

    found = drivers.found()

    assert (found.name, found.is_freetds) == (name, name == FREETDS)


@pytest.mark.parametrize(
    ("path", "why_not", "said"),
    [(None, "", "install Microsoft's msodbcsql18"), (IN_WHEEL, "lib is missing", "lib is missing")],
)
def test_no_driver_is_a_mistake_to_mend(
    path: Path | None, why_not: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line says what to install."""
    _machine(monkeypatch, ["PostgreSQL Unicode"], path, why_not)

    with pytest.raises(ConfigError, match=said):
        drivers.found()


def _machine(
    monkeypatch: pytest.MonkeyPatch, installed: list[str], path: Path | None, why_not: str
) -> None:
    monkeypatch.setattr(pyodbc, "drivers", lambda: installed)
    monkeypatch.setattr(drivers, "in_wheel", lambda: path)
    monkeypatch.setattr(drivers, "why_not", lambda _: why_not)


@pytest.mark.skipif(find_spec("mssql_python_odbc") is None, reason="the wheel is not installed")
def test_the_file_in_the_wheel_is_found() -> None:
    """By its path, for this machine."""
    path = drivers.in_wheel()

    assert path is not None
    assert path.is_file()


def test_a_file_that_does_not_load_says_why(tmp_path: Path) -> None:
    """A library of Debian's may be missing; the words say how to get it."""
    broken = tmp_path / "libmsodbcsql-18.6.so.2.1"
    broken.write_bytes(b"\x7fELF")

    assert "apt-get install libltdl7" in drivers.why_not(broken)
    missing = drivers.why_not(Path("libnothing.so.7"))
    assert "libnothing.so.7 is missing" in missing


def test_values_are_sent_as_few_types() -> None:
    """The server keeps a plan for each: not one for each length of a text."""
    values = [7, 1 << 40, "short", "é" * 2000, "x" * 2001, None, True, 2.5, b"x"]

    assert Driver(EIGHTEEN).sizes(values) == [
        *(WHOLE, WHOLE, SHORT, SHORT, LONG),
        *(None, None, None, None),
    ]
