"""What the doctor says of a database: real files, whole and hurt."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pyodbc
import pytest
from taskhub.cli.doctor import database as doctor
from taskhub.cli.doctor.finding import FAIL, OK, WARN, Finding
from taskhub.config.sections import Config, StoreSection
from taskhub.store.mssql import address, drivers  # noqa: F401 - an address finds its driver
from taskhub.store.mssql.drivers import FREETDS, Driver


def found(config: Config) -> dict[str, Finding]:
    """The findings by their names."""
    return {finding.name: finding for finding in doctor.look(config)}


def change(path: Path, statement: str) -> None:
    """Do it to the file."""
    with closing(sqlite3.connect(path)) as line, line:
        line.execute(statement)


def test_a_database_that_is_well(config: Config) -> None:
    """Every place is ok, and the file is as it was."""
    findings = found(config)

    assert {name: finding.state for name, finding in findings.items()} == {
        "database": OK, "write-ahead log": OK, "integrity": OK, "disk": OK,
    }  # fmt: skip
    assert findings["database"].detail.endswith("the newest")


def test_a_database_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    """The doctor changes nothing; the next command is its advice."""
    config = Config(store=StoreSection(url=f"sqlite:///{tmp_path}/none/taskhub.db"))

    finding = found(config)["database"]
    assert (finding.state, finding.fix) == (WARN, "taskhub db ensure")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("revision", "state", "advice"),
    [("0001", WARN, "taskhub db migrate"), ("9999", FAIL, "install that TaskHub again")],
)
def test_a_schema_of_another_taskhub(
    config: Config, database: Path, revision: str, state: str, advice: str
) -> None:
    """An older one is moved on; a newer one is not ours to touch."""
    change(database, f"UPDATE alembic_version SET version_num = '{revision}'")  # noqa: S608 - a case

    finding = found(config)["database"]
    assert finding.state == state
    assert finding.fix.startswith(advice)


def test_a_file_that_is_no_database(config: Config, database: Path) -> None:
    """A disk that was mounted elsewhere, a wrong path, an end of a copy."""
    database.write_bytes(b"no database, but long enough to be looked at" * 100)

    finding = found(config)["database"]
    assert finding.state == FAIL
    assert "restore a backup" in finding.fix


def test_a_torn_page_is_found(config: Config, database: Path) -> None:
    """What SQLite itself would say only when it comes past."""
    with closing(sqlite3.connect(database)) as line:
        where = "SELECT rootpage FROM sqlite_master WHERE name = 'Tasks'"
        ((page,),) = line.execute(where).fetchall()
        ((size,),) = line.execute("PRAGMA page_size").fetchall()
    with database.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * 200)

    finding = found(config)["integrity"]
    assert finding.state == FAIL
    assert "backup" in finding.fix


def test_a_file_too_large_for_a_look_is_left_to_a_quiet_hour(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits an hour for a doctor."""
    monkeypatch.setattr(doctor, "LOOK", -1.0)
    monkeypatch.setattr(doctor, "STEPS", 1)

    finding = found(config)["integrity"]
    assert finding.state == WARN
    assert "integrity_check" in finding.fix


def test_another_journal_is_told(config: Config, database: Path) -> None:
    """Readers and the writer would wait for each other."""
    change(database, "PRAGMA journal_mode = delete")

    assert found(config)["write-ahead log"].state == WARN


class Usage(NamedTuple):
    """What the system says of a disk."""

    total: int
    used: int
    free: int


@pytest.mark.parametrize(("amount", "state"), [(50 << 20, FAIL), (500 << 20, WARN), (2 << 30, OK)])
def test_the_room_that_is_left(
    config: Config, monkeypatch: pytest.MonkeyPatch, amount: int, state: str
) -> None:
    """Before the disk is full, not after."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1 << 40, 0, amount))

    finding = found(config)["disk"]
    assert finding.state == state
    assert ("retention" in finding.fix) == (state != OK)


@pytest.mark.parametrize(
    ("driver", "state", "said"),
    [
        (Driver("ODBC Driver 18 for SQL Server"), OK, "ODBC Driver 18 for SQL Server"),
        (Driver("/x/libmsodbcsql-18.so"), OK, "of mssql-python-odbc, libmsodbcsql-18.so"),
        (Driver(FREETDS, is_freetds=True), WARN, "checks no certificate"),
    ],
)
def test_the_odbc_driver_is_named(
    driver: Driver, state: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which one is taken depends on what is installed; the server need not answer for it."""
    monkeypatch.setattr(drivers, "found", lambda: driver)
    url = "mssql://sa@127.0.0.1:1/tasks?encrypt=no&login_timeout=1"

    findings = found(Config(store=StoreSection(url=url)))

    assert findings["ODBC driver"].state == state
    assert said in findings["ODBC driver"].detail
    assert findings["database"].state == FAIL


def test_no_odbc_driver_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what to install."""
    monkeypatch.setattr(drivers, "in_wheel", lambda: None)
    monkeypatch.setattr(pyodbc, "drivers", list)

    findings = found(Config(store=StoreSection(url="mssql://sa@db/tasks")))

    assert "ODBC driver" not in findings
    assert "install Microsoft's msodbcsql18" in findings["database"].detail
