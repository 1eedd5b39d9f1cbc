"""Sessions over Microsoft's own driver, with a peer that does what no server does on demand."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from taskhub.errors import StoreDown, StoreFull, StoreLocked
from taskhub.store.mssql import connection
from taskhub.store.mssql import session as sessions
from taskhub.store.mssql.address import Address
from taskhub.store.mssql.connection import Connection
from taskhub.store.mssql.drivers import Driver
from taskhub.store.mssql.session import Session
from taskhub.store.mssql.troubles import BadData, is_late

from tests.tds_server import TdsServer, done, error, rows
from tests.unit.store.mssql.conftest import SECRET
from tests.waiting import blocking_until

pytestmark = pytest.mark.timeout(60)


def say(text: str, *values: object) -> Callable[[Connection], list[tuple[object, ...]]]:
    """Work of one statement."""
    return lambda line: line.execute(text, values).fetchall()


@contextmanager
def beside(act: Callable[[], object]) -> Iterator[None]:
    """Something that another thread does meanwhile."""
    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_a_connection_begins_with_our_settings(session: Session, server: TdsServer) -> None:
    """Those that filtered indexes want, and how long a lock is waited for; then the transaction."""
    server.answers = {"SELECT": rows(1, 2, 3)}

    assert session.transaction(say("SELECT n")) == [(1,), (2,), (3,)]
    assert server.begun("SET XACT_ABORT OFF;") == server.begun("LOCK_TIMEOUT 2500") == 1
    assert server.begun("QUOTED_IDENTIFIER ON") == 1
    assert [server.begun(word) for word in ("BEGIN TRAN", "COMMIT TRAN", "ROLLBACK")] == [1, 1, 0]


def test_values_are_declared_alike_whatever_their_length(
    session: Session, server: TdsServer
) -> None:
    """A plan for each length would push all others out of the server's memory."""
    session.ask(say("SELECT ?, ?, ?", "abc", "x" * 9_000, 7))

    (call,) = [said for said in server.heard if "@P1" in said]
    assert "@P1 nvarchar(4000),@P2 nvarchar(max),@P3 bigint" in call
    assert "x" * 9_000 in call


def test_nothing_is_said_in_the_text(session: Session, server: TdsServer) -> None:
    """As a value it would cost a question about its type, and the server does not always know."""
    session.ask(say("SELECT '?', [?], ?, ?, ?", None, "a", None))

    (call,) = [said for said in server.heard if "'?'" in said]
    null = "CAST(NULL AS NVARCHAR(MAX))"
    assert f"SELECT '?', [?], {null}, @P1, {null}" in call
    assert not server.begun("sp_describe")


def test_a_port_where_nobody_listens_is_known_at_once(driver: Driver) -> None:
    """The driver would wait until the login is late, and not say why."""
    with TdsServer().running() as gone:
        pass
    address = Address(f"mssql://sa@127.0.0.1:{gone.port}/tasks?login_timeout=60", driver=driver)
    session = Session(address, "taskhub-test", lock_timeout=1)

    with pytest.raises(StoreDown, match="cannot be reached") as told:
        session.ask(say("SELECT n"))

    assert "refused" in told.value.reason
    session.close()


def test_answers_of_many_packets_are_read_to_the_end(session: Session, server: TdsServer) -> None:
    """Row by row, whatever the size of a packet."""
    server.answers = {"SELECT": rows(*range(10_000))}

    assert session.ask(say("SELECT n")) == [(number,) for number in range(10_000)]


def test_an_error_of_a_later_part_is_an_error(session: Session, server: TdsServer) -> None:
    """The driver tells it only to whoever asks for that part."""
    server.answers = {"SELECT": rows(1, more=True) + error(9002)}

    with pytest.raises(StoreFull):
        session.transaction(say("SELECT n; INSERT n"))
    assert server.begun("COMMIT TRAN") == 0


def test_changed_rows_of_all_parts_are_counted(session: Session, server: TdsServer) -> None:
    """Those that are answered as well."""
    server.answers = {"UPDATE": done(0x11, 4) + rows(7, 8)}

    answer = session.ask(lambda line: line.execute("UPDATE a; UPDATE b OUTPUT n"))

    assert (answer.rows, answer.rowcount) == ([(7,), (8,)], 6)


@pytest.mark.parametrize("number", [1205, 3960])
def test_who_loses_against_others_tries_again(
    number: int, session: Session, server: TdsServer
) -> None:
    """All of it, from the beginning, on the same connection; and it is counted."""
    server.once = {"UPDATE": error(number)}

    session.transaction(say("UPDATE n"))

    assert session.retried == 1
    assert server.begun("BEGIN TRAN") == server.begun("UPDATE") == 2
    assert len(server.logins) == server.begun("COMMIT TRAN") == 1


def test_who_always_loses_gives_up(session: Session, server: TdsServer) -> None:
    """As when another program holds the database."""
    server.answers = {"UPDATE": error(1205)}

    with pytest.raises(StoreLocked):
        session.transaction(say("UPDATE n"))
    assert session.retried == sessions.TRIES


def test_a_database_that_is_moved_is_found_again(session: Session, server: TdsServer) -> None:
    """Over a new connection: the server ends the old one; a login may have to wait as well."""
    server.once = {"UPDATE": error(40197)}
    server.logging_in = [error(40613)]

    session.ask(say("SELECT n"))
    session.transaction(say("UPDATE n"))

    assert session.retried == 2
    assert len(server.logins) == 3
    assert server.begun("COMMIT TRAN") == 1


def test_a_commit_without_an_answer_is_not_made_twice(session: Session, server: TdsServer) -> None:
    """It may be that the server has made it: whoever asked decides."""
    server.answers = {"COMMIT TRAN": error(40197)}

    with pytest.raises(StoreDown, match="moved or woken up"):
        session.transaction(say("UPDATE n"))
    assert session.retried == 0
    assert server.begun("UPDATE") == 1


def test_bad_values_are_told_without_them(session: Session, server: TdsServer) -> None:
    """The server repeats the key of a row that is there twice; we do not."""
    server.answers = {"INSERT": error(2627, f"The duplicate key value is ({SECRET}).")}

    with pytest.raises(BadData) as told:
        session.transaction(say("INSERT n"))
    assert SECRET not in str(told.value)
    assert told.value.__cause__ is None
    assert [server.begun(word) for word in ("COMMIT TRAN", "ROLLBACK")] == [0, 1]


def test_a_lock_of_others_is_waited_for_so_long(session: Session, server: TdsServer) -> None:
    """Then it is said what it was."""
    server.answers = {"UPDATE": error(1222)}

    with pytest.raises(StoreLocked):
        session.transaction(say("UPDATE n"))


def test_a_statement_that_is_stopped_is_no_success(session: Session, server: TdsServer) -> None:
    """Microsoft's driver says so: what comes after it would be committed without it."""
    server.answers = {"UPDATE": None}

    def stop() -> None:
        blocking_until(lambda: server.begun("UPDATE") == 1, what="nothing was begun")
        session.cancel()

    with beside(stop), pytest.raises(StoreLocked):
        session.transaction(say("UPDATE n"))
    assert [server.begun(word) for word in ("COMMIT TRAN", "ROLLBACK")] == [0, 1]
    session.stop.clear()
    session.transaction(say("SELECT n"))
    assert len(server.logins) == 1


def test_a_statement_may_have_a_part_of_a_second(session: Session, server: TdsServer) -> None:
    """Then it is stopped, and the connection is as good as before."""
    server.answers = {"SELECT": None}

    def look(line: Connection) -> object:
        line.patience = 0.05
        return line.execute("SELECT n")

    with pytest.raises(StoreDown) as told:
        session.transaction(look)
    assert is_late(told.value)
    server.answers = {}
    session.transaction(say("SELECT n"))
    assert len(server.logins) == 1


def test_a_statement_has_no_more_than_its_seconds(session: Session, server: TdsServer) -> None:
    """By the clock of the driver, which tells the server to stop."""
    server.answers = {"SELECT": None}

    def look(line: Connection) -> object:
        line.patience = 1.0
        return line.execute("SELECT n")

    with pytest.raises(StoreDown, match="did not answer in time") as told:
        session.transaction(look)
    assert is_late(told.value)
    assert server.begun("ROLLBACK") == 1


def test_a_beginning_that_is_late_is_undone(session: Session, server: TdsServer) -> None:
    """It may have begun all the same: a commit within it would commit nothing."""
    session.ask(say("SELECT n"))
    assert session._connection is not None
    session._connection.patience = 0.05
    server.once = {"BEGIN TRAN": None}

    with pytest.raises(StoreDown) as told:
        session.transaction(say("UPDATE n"))

    assert is_late(told.value)
    assert [server.begun(word) for word in ("BEGIN TRAN", "ROLLBACK", "UPDATE")] == [1, 1, 0]


def test_a_server_that_is_frozen_holds_nobody(
    session: Session, server: TdsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the midst of an answer no limit of the driver's holds: it is left behind."""
    session.ask(say("SELECT n"))
    monkeypatch.setattr(connection, "DRIVERS_PATIENCE", 0)
    monkeypatch.setattr(connection, "GRACE", 0.3)
    server.answers, server.freezes = {"SELECT": rows(*range(5_000))}, True

    with pytest.raises(StoreDown, match="did not answer in time"):
        session.ask(say("SELECT n"))

    monkeypatch.undo()
    server.is_frozen = server.freezes = False
    _until_it_answers(session)
    assert len(server.logins) == 2
    server.cut()  # then the driver comes back, and its thread ends


def test_who_ends_does_not_wait_for_a_frozen_server(
    session: Session, server: TdsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The driver may wait half a minute for the server to have stopped."""
    monkeypatch.setattr(sessions, "STOPPING", 0.2)
    session.ask(say("SELECT n"))
    server.is_frozen = True

    def stop() -> None:
        blocking_until(lambda: server.begun("BEGIN TRAN") == 1, what="nothing was begun")
        session.cancel()

    with beside(stop), pytest.raises(StoreDown):
        session.transaction(say("UPDATE n"))
    server.cut()  # then the driver comes back, and its thread ends


def test_a_server_that_dies_in_mid_statement_is_told(session: Session, server: TdsServer) -> None:
    """And the next transaction has a connection of its own."""
    server.once = {"UPDATE": None}

    def die() -> None:
        blocking_until(lambda: server.begun("UPDATE") == 1, what="nothing was begun")
        server.cut()

    with beside(die), pytest.raises(StoreDown, match="connection was lost"):
        session.transaction(say("UPDATE n"))
    session.transaction(say("UPDATE n"))
    assert len(server.logins) == 2


def test_a_connection_that_was_lost_meanwhile_is_nobody_s_trouble(
    session: Session, server: TdsServer
) -> None:
    """What was not begun may be begun anew."""
    session.transaction(say("UPDATE n"))
    server.cut()

    session.transaction(say("UPDATE n"))
    server.cut()
    session.ask(say("SELECT n"))

    assert len(server.logins) == 3


def test_a_refused_login_is_told_without_the_password(session: Session, server: TdsServer) -> None:
    """And nobody asks again at once: most servers lock an account that fails often."""
    server.logging_in = [error(18456, "Login failed for user 'sa'.")]

    with pytest.raises(StoreDown, match="refuses our user or password") as told:
        session.ask(say("SELECT n"))
    with pytest.raises(StoreDown, match="refuses our user or password"):
        session.ask(say("SELECT n"))

    assert SECRET not in told.value.reason + repr(told.value.__cause__) + repr(session)
    assert len(server.logins) == 1


def test_nothing_is_told_to_a_server_that_does_not_encrypt(
    server: TdsServer, driver: Driver
) -> None:
    """Unless somebody has said that it may."""
    address = Address(f"mssql://sa@127.0.0.1:{server.port}/tasks", SECRET, driver=driver)
    session = Session(address, "taskhub-test", lock_timeout=1)

    with pytest.raises(StoreDown, match="cannot be reached"):
        session.ask(say("SELECT n"))

    assert server.logins == []
    session.close()


def test_the_server_learns_who_we_are(session: Session, server: TdsServer) -> None:
    """The name of the connection, the database, and the user: each whole."""
    session.ask(say("SELECT n"))

    login = server.logins[0].decode("utf-16-le", "replace")
    assert all(word in login for word in ("taskhub-test", "tasks", "sa"))
    hidden = bytes((byte << 4 & 0xF0 | byte >> 4) ^ 0xA5 for byte in SECRET.encode("utf-16-le"))
    assert hidden in server.logins[0]


def test_a_session_can_be_used_again_after_its_end(session: Session, server: TdsServer) -> None:
    """It may be closed twice as well."""
    session.ask(say("SELECT n"))
    session.close()
    session.close()

    session.ask(say("SELECT n"))

    assert len(server.logins) == 2


def test_a_migration_may_take_as_long_as_it_likes(session: Session) -> None:
    """An index of a large table takes its time."""

    def work(line: Connection) -> object:
        line.patience = math.inf
        return line.driver.timeout

    assert session.transaction(work) == 0


def _until_it_answers(session: Session) -> None:
    def answers() -> bool:
        try:
            session.ask(say("SELECT n"))
        except StoreDown:
            return False
        return True

    blocking_until(answers, what="it never answered")
