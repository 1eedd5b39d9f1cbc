"""A backup: one moment of a database in use, whole or not there at all."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from taskhub.errors import BackupFailed, StoreDown
from taskhub.store.sqlite import backup
from taskhub.store.sqlite.backup import back_up


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A database with a log, and a pair of accounts whose sum is always 100."""
    path = tmp_path / "taskhub.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("CREATE TABLE accounts (name TEXT, money INTEGER)")
        database.execute("CREATE TABLE ballast (data BLOB)")
        database.executemany("INSERT INTO ballast VALUES (zeroblob(100000))", [()] * 100)
        database.executemany("INSERT INTO accounts VALUES (?, 50)", [("a",), ("b",)])
        database.commit()
    return path


def test_it_is_one_moment_though_writers_go_on(source: Path, tmp_path: Path) -> None:
    """No commit is in it by half, and what was committed before is in it."""
    is_over = threading.Event()

    def move() -> None:
        with closing(sqlite3.connect(source, timeout=10)) as database:
            while not is_over.is_set():
                with database:
                    database.execute("UPDATE accounts SET money = money - 1 WHERE name = 'a'")
                    database.execute("UPDATE accounts SET money = money + 1 WHERE name = 'b'")

    writer = threading.Thread(target=move)
    writer.start()
    try:
        size = back_up(source, tmp_path / "copy.db")
    finally:
        is_over.set()
        writer.join()

    with closing(sqlite3.connect(tmp_path / "copy.db")) as copy:
        assert copy.execute("SELECT sum(money) FROM accounts").fetchone() == (100,)
        assert copy.execute("SELECT count(*) FROM ballast").fetchone() == (100,)
        assert copy.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert size == (tmp_path / "copy.db").stat().st_size > 10_000_000
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir() if "copy" in path.name) == ["copy.db"]


def test_a_file_that_is_there_stays(source: Path, tmp_path: Path) -> None:
    """It may be the last good backup."""
    target = tmp_path / "copy.db"
    target.write_text("precious")

    with pytest.raises(BackupFailed, match="is there already"):
        back_up(source, target)

    assert target.read_text() == "precious"


def test_a_backup_that_fails_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a file would be taken for a backup."""

    def full(_part: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_check", full)
    with pytest.raises(BackupFailed, match="No space left on device"):
        back_up(source, tmp_path / "copy.db")

    assert not list(tmp_path.glob("*copy*"))


@pytest.mark.parametrize("content", [None, b"not a database" * 100], ids=["missing", "other"])
def test_what_is_no_database_is_said_so(content: bytes | None, tmp_path: Path) -> None:
    """A slip in the configuration must not make an empty backup."""
    if content is not None:
        (tmp_path / "taskhub.db").write_bytes(content)

    with pytest.raises(StoreDown):
        back_up(tmp_path / "taskhub.db", tmp_path / "copy.db")

    assert not (tmp_path / "copy.db").exists()


def test_a_folder_that_is_not_there_is_said_so(source: Path, tmp_path: Path) -> None:
    """With its name: it was typed."""
    with pytest.raises(BackupFailed, match="No such file or directory"):
        back_up(source, tmp_path / "nowhere/copy.db")
