"""The same sessions over ODBC with a real server of another kind: PostgreSQL, by Debian's driver.

What differs between servers is given to a session: its settings, its words for transactions and the
meanings of its codes. Everything else is what SQL Server gets.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg
import pyodbc
import pytest
from taskhub.errors import StoreDown, StoreLocked
from taskhub.store.mssql import connection
from taskhub.store.mssql.connection import Connection, Speech
from taskhub.store.mssql.session import Session
from taskhub.store.mssql.troubles import BadData, Codes, Meaning

from tests.postgres_server import IS_HERE, NOT_HERE, PostgresServer
from tests.unit.store.mssql.test_session import beside, say
from tests.waiting import blocking_until

DRIVER = "PostgreSQL Unicode"

pytestmark = [
    pytest.mark.skipif(not IS_HERE, reason=NOT_HERE),
    pytest.mark.skipif(DRIVER not in pyodbc.drivers(), reason="odbc-postgresql is not installed"),
    pytest.mark.timeout(60),
]

CODES = Codes(
    numbers={},
    states={
        "08": Meaning.DOWN,
        "22": Meaning.BAD_DATA,
        "23": Meaning.BAD_DATA,
        "28": Meaning.DENIED,
        "57P01": Meaning.DOWN,
        "57014": Meaning.LATE,
        "HY008": Meaning.LATE,
        "40001": Meaning.AGAIN,
        "40P01": Meaning.AGAIN,
        "55P03": Meaning.LOCKED,
    },
    sentences={"08": "It is away."},
)
SPEECH = Speech(CODES, ["SET lock_timeout = {lock_timeout_ms}"], "BEGIN", "COMMIT", "ROLLBACK")


@dataclass
class Place:
    """A database on a server."""

    server: PostgresServer
    user: str = "postgres"
    speech: Speech = SPEECH

    def connect(self, name: str, lock_timeout: float) -> Connection:
        """A connection as SQL Server gets one, but for the words."""
        text = (
            f"DRIVER={{{DRIVER}}};SERVER={self.server.folder};DATABASE=postgres;UID={self.user};"
            f"PWD={{hush-hush}};pqopt={{application_name={name}}};UseServerSidePrepare=1"
        )
        raw = pyodbc.connect(text, autocommit=True, timeout=5)
        return Connection(raw, self.speech, sizes=None).ready(lock_timeout)

    def pids(self, name: str = "first") -> list[int]:
        """The processes of the server that serve the sessions of this name."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as line:
            found = line.execute(
                "SELECT pid FROM pg_stat_activity WHERE application_name = %s", [name]
            )
            return [pid for (pid,) in found]

    def is_busy(self, name: str = "first") -> bool:
        """Whether a session of this name waits in a statement."""
        with psycopg.connect(self.server.url("postgres"), autocommit=True) as line:
            found = line.execute(
                "SELECT FROM pg_stat_activity WHERE application_name = %s AND state = 'active'"
                " AND wait_event IS NOT NULL",
                [name],
            )
            return found.rowcount > 0


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A server with a table of two rows."""
    with PostgresServer.running() as server:
        place = Place(server)
        session = Session(place, "making", lock_timeout=5)
        session.transaction(say("CREATE TABLE t (id bigint PRIMARY KEY, word text)"))
        session.transaction(say("INSERT INTO t VALUES (1, 'a'), (2, 'b')"))
        session.close()
        yield place


@pytest.fixture
def session(place: Place) -> Iterator[Session]:
    """One with the server."""
    session = Session(place, "first", lock_timeout=5)
    yield session
    session.close()


@pytest.fixture
def other(place: Place) -> Iterator[Session]:
    """Another one."""
    session = Session(place, "second", lock_timeout=0.2)
    yield session
    session.close()


def busy(place: Place, act: Callable[[], object]) -> Callable[[], None]:
    """Do it when the first session waits for the server."""

    def wait() -> None:
        blocking_until(place.is_busy, what="it does not wait")
        act()

    return wait


def test_values_come_back_as_they_went(session: Session) -> None:
    """Text of any kind and length, numbers of 64 bits, nothing at all."""
    texts = ["", "é😀\u202e", "x" * 100_000, "'; DROP TABLE t;--"]
    for text in texts:
        found = session.ask(say("SELECT ?::text, ?::bigint, ?::text", text, 1 << 62, None))
        assert found == [(text, 1 << 62, None)]


def test_many_rows_are_read(session: Session) -> None:
    """All of them, before anybody has the first."""
    found = session.ask(say("SELECT n, repeat('ü', 20) FROM generate_series(1, 50000) n"))

    assert len(found) == 50_000
    assert found[-1] == (50_000, "ü" * 20)


def test_what_fails_leaves_nothing(session: Session) -> None:
    """A transaction is whole or not there at all."""

    def work(line: Connection) -> None:
        assert line.execute("UPDATE t SET word = ?", ["z"]).rowcount == 2
        line.execute("INSERT INTO t VALUES (1, 'twice')")

    with pytest.raises(BadData):
        session.transaction(work)

    assert session.ask(say("SELECT word FROM t ORDER BY id")) == [("a",), ("b",)]


def test_a_lock_is_waited_for_so_long(session: Session, other: Session) -> None:
    """Then others are told that somebody has it."""

    def work(line: Connection) -> None:
        line.execute("SELECT * FROM t FOR UPDATE")
        with pytest.raises(StoreLocked):
            other.transaction(say("UPDATE t SET word = word"))

    session.transaction(work)
    other.transaction(say("UPDATE t SET word = word"))


def test_a_conflict_is_tried_again(session: Session, other: Session) -> None:
    """Another one has changed what this one has read: the server says so, and we begin anew."""
    tries = 0

    def work(line: Connection) -> None:
        nonlocal tries
        tries += 1
        line.execute("SELECT word FROM t")
        if tries == 1:
            other.transaction(say("UPDATE t SET word = word"))
        line.execute("UPDATE t SET word = word")

    session.transaction(work, "BEGIN ISOLATION LEVEL REPEATABLE READ")

    assert tries == 2
    assert (session.retried, other.retried) == (1, 0)


def test_who_loses_in_a_deadlock_tries_again(session: Session, place: Place) -> None:
    """Two wait for each other; the server gives one up, we do not."""
    second = Session(place, "second", lock_timeout=20)
    meeting = threading.Barrier(2, timeout=10)

    def cross(one: Session, first: int, then: int) -> None:
        seen: list[int] = []

        def work(line: Connection) -> None:
            line.execute("SET LOCAL deadlock_timeout = '20ms'")
            line.execute("UPDATE t SET word = word WHERE id = ?", [first])
            seen.append(first)
            if len(seen) == 1:
                meeting.wait()
            line.execute("UPDATE t SET word = word WHERE id = ?", [then])

        one.transaction(work)

    with beside(lambda: cross(second, 2, 1)):
        cross(session, 1, 2)

    assert session.retried + second.retried == 1
    second.close()


def test_a_statement_is_stopped_by_another_thread(session: Session, place: Place) -> None:
    """At the end of the process nobody waits for a search."""
    with beside(busy(place, session.cancel)), pytest.raises(StoreLocked):
        session.transaction(say("SELECT pg_sleep(50)"))

    session.stop.clear()
    assert session.ask(say("SELECT 1")) == [(1,)]


def test_a_statement_may_take_so_long(session: Session) -> None:
    """Then the server is told to stop."""

    def look(line: Connection) -> object:
        line.patience = 0.1
        return line.execute("SELECT pg_sleep(50)")

    with pytest.raises(StoreDown):
        session.transaction(look)
    assert session.ask(say("SELECT 1")) == [(1,)]


def test_a_connection_that_the_server_ends_is_replaced(session: Session, place: Place) -> None:
    """In the midst of a statement it is told; between two nobody notices."""

    def end() -> None:
        for pid in place.pids():
            os.kill(pid, signal.SIGTERM)

    with beside(busy(place, end)), pytest.raises(StoreDown):
        session.transaction(say("SELECT pg_sleep(50)"))
    assert session.ask(say("SELECT 1")) == [(1,)]

    end()
    blocking_until(lambda: not place.pids(), what="it lives on")
    session.transaction(say("UPDATE t SET word = word"))


def test_a_server_that_is_frozen_holds_nobody(
    session: Session, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This driver has no limit of its own for it: the thread that waits is left behind."""
    session.ask(say("SELECT 1"))
    (frozen,) = place.pids()
    os.kill(frozen, signal.SIGSTOP)
    monkeypatch.setattr(connection, "DRIVERS_PATIENCE", 0)
    monkeypatch.setattr(connection, "GRACE", 0.2)
    try:
        with pytest.raises(StoreDown, match="did not answer in time"):
            session.transaction(say("SELECT 1"))
        monkeypatch.undo()
        blocking_until(lambda: _answers(session), what="it never answered")
    finally:
        os.kill(frozen, signal.SIGCONT)
    blocking_until(lambda: frozen not in place.pids(), what="its connection stays")


def test_a_server_that_dies_is_found_again(session: Session, place: Place) -> None:
    """Killed in the midst of a statement, and started: nobody restarts us."""
    with beside(busy(place, place.server.kill)), pytest.raises(StoreDown):
        session.transaction(say("SELECT pg_sleep(50)"))
    with pytest.raises(StoreDown):
        session.transaction(say("SELECT 1"))

    place.server.start()

    blocking_until(lambda: _answers(session), what="it was never found again")
    assert session.ask(say("SELECT count(*) FROM t")) == [(2,)]


def test_who_may_not_log_in_is_told_without_the_password(place: Place) -> None:
    """Nor is it in what the operator reads."""
    session = Session(Place(place.server, user="nobody"), "first", lock_timeout=1)

    with pytest.raises(StoreDown) as told:
        session.ask(say("SELECT 1"))

    assert "hush" not in told.value.reason + repr(told.value.__cause__)
    session.close()


def _answers(session: Session) -> bool:
    try:
        return session.ask(say("SELECT 1")) == [(1,)]
    except StoreDown:
        return False
