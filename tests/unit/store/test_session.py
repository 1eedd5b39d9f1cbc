"""A writing connection: its lock, its settings, and what its errors are called."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from taskhub.errors import StoreDown, StoreFull, StoreLocked, Trouble
from taskhub.store.sqlite.filelock import FileLock
from taskhub.store.sqlite.session import Session, make_file, trouble_of


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An empty file."""
    path = tmp_path / "taskhub.db"
    make_file(path)
    return path


@pytest.fixture
def session(path: Path) -> Iterator[Session]:
    """A session on a table with one column."""
    session = Session(path, lock_timeout=0.05)
    session.transaction(lambda connection: connection.execute("CREATE TABLE T (N UNIQUE)"))
    yield session
    session.close()


def rows(path: Path) -> list[int]:
    """What another connection sees."""
    with closing(sqlite3.connect(path)) as connection:
        return [number for (number,) in connection.execute("SELECT N FROM T ORDER BY N")]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY, StoreLocked),
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StoreLocked),
        (sqlite3.SQLITE_FULL, StoreFull),
        (sqlite3.SQLITE_IOERR_SHMSIZE, StoreFull),
        (sqlite3.SQLITE_IOERR_WRITE, StoreDown),
        (sqlite3.SQLITE_CORRUPT, StoreDown),
        (sqlite3.SQLITE_CONSTRAINT, None),
        (sqlite3.SQLITE_ERROR, None),
    ],
)
def test_codes_have_names(code: int, kind: type[Trouble] | None) -> None:
    """Trouble around us is retried; bad data and bugs are not."""
    error = sqlite3.OperationalError("text")
    error.sqlite_errorcode = code

    assert trouble_of(error) is None if kind is None else type(trouble_of(error)) is kind


def test_commits_are_on_disk_before_they_are_answered(session: Session) -> None:
    """FULL, in WAL mode: a power cut takes nothing that was acknowledged."""
    connection = session.connect()

    assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_failed_transaction_leaves_nothing(session: Session, path: Path) -> None:
    """Neither rows, nor a transaction, nor the lock."""

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO T VALUES (1)")
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        session.transaction(work)

    assert rows(path) == []
    session.transaction(lambda connection: connection.execute("INSERT INTO T VALUES (2)"))
    assert rows(path) == [2]


def test_a_broken_connection_is_replaced(session: Session, path: Path) -> None:
    """Whatever became of it: the next transaction has a new one."""
    session.connect().close()

    with pytest.raises(sqlite3.ProgrammingError):
        session.transaction(lambda connection: connection.execute("INSERT INTO T VALUES (1)"))
    session.transaction(lambda connection: connection.execute("INSERT INTO T VALUES (2)"))

    assert rows(path) == [2]


def test_a_missing_file_is_trouble_and_is_not_made(tmp_path: Path) -> None:
    """An empty database in place of a lost one would look like a loss of all tasks."""
    session = Session(tmp_path / "gone" / "taskhub.db", lock_timeout=0.05)

    with pytest.raises(StoreDown):
        session.transaction(lambda connection: None)
    assert not (tmp_path / "gone").exists()


def test_a_file_that_was_replaced_takes_no_commits(session: Session, path: Path) -> None:
    """Rows in a file that has no name any more would be lost with the process."""
    path.rename(path.with_name("aside"))
    insert = "INSERT INTO T VALUES (1)"

    with pytest.raises(StoreDown):
        session.transaction(lambda connection: connection.execute(insert))
    make_file(path)
    session.transaction(lambda connection: connection.execute("CREATE TABLE T (N)"))
    session.transaction(lambda connection: connection.execute(insert))

    assert rows(path) == [1]


def test_sessions_wait_for_each_other_by_the_lock(session: Session, path: Path) -> None:
    """The second begins when the first has ended; in vain past its time."""
    other = Session(path, lock_timeout=0.05)

    def work(connection: sqlite3.Connection) -> None:
        with pytest.raises(StoreLocked):
            other.transaction(lambda inner: inner.execute("INSERT INTO T VALUES (1)"))

    session.transaction(work)
    other.transaction(lambda connection: connection.execute("INSERT INTO T VALUES (2)"))
    other.close()

    assert rows(path) == [2]


def test_a_lock_that_is_free_is_had_at_once(tmp_path: Path) -> None:
    """Also with no time to wait, and when told to stop: what was asked for is still done."""
    lock, stop = FileLock(tmp_path / "lock"), threading.Event()
    stop.set()
    lock.open()

    assert lock.acquire(0, stop)

    lock.close()


def test_a_wait_for_the_lock_ends_when_told_to_stop(tmp_path: Path) -> None:
    """However long it was allowed to wait."""
    first, second, stop = (
        FileLock(tmp_path / "lock"),
        FileLock(tmp_path / "lock"),
        threading.Event(),
    )
    first.open()
    second.open()
    assert first.acquire(0)
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(second.acquire(3_600, stop)))
    waiting.start()

    stop.set()
    waiting.join()

    assert answers == [False]
    first.close()
    assert second.acquire(0)
    second.close()
