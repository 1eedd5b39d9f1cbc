"""A start beside a database that others hold: it waits, as everything does later."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from taskhub.app.migration import longer_start, migrate
from taskhub.config.sections import Config, StoreSection
from taskhub.errors import StoreDown
from taskhub.kernel.notify import Notifier

from tests.virtual_clock import pass_time
from tests.waiting import Signal


def config_of(path: Path) -> Config:
    """A store on that file which is soon impatient."""
    return Config(store=StoreSection(url=f"sqlite:///{path}", lock_timeout=0.1))


def held(path: Path) -> sqlite3.Connection:
    """A program that lets nobody else read either, until its connection is closed."""
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    other.execute("CREATE TABLE Theirs (N)")
    return other


async def test_a_database_that_somebody_holds_is_waited_for_and_told_once(
    tmp_path: Path, empty_database: Path
) -> None:
    """A start that failed for it would use up the tries that systemd allows."""
    path = tmp_path / "tasks.db"
    shutil.copy(empty_database, path)
    told: Signal[str] = Signal()
    with closing(held(path)) as other:
        migration = asyncio.create_task(migrate(config_of(path), told))
        assert "Another program holds the database" in await told.next()
        other.execute("ROLLBACK")

    assert await migration == []
    assert not told._said


async def test_so_is_one_that_is_held_while_it_has_to_be_moved(tmp_path: Path) -> None:
    """That is another process's work: what is in its way comes back by its code."""
    path = tmp_path / "tasks.db"
    path.touch()
    told: Signal[str] = Signal()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        migration = asyncio.create_task(migrate(config_of(path), told))
        assert "Another program holds the database" in await told.next(20)
        other.execute("ROLLBACK")

    assert await migration


async def test_what_a_person_must_mend_is_not_waited_for(tmp_path: Path) -> None:
    """Exit, one line, and a service that shows as failed."""
    path = tmp_path / "tasks.db"
    path.write_bytes(b"no database" * 1_000)

    with pytest.raises(StoreDown):
        await migrate(config_of(path), print)


@pytest.mark.virtual_clock
async def test_systemd_is_asked_for_more_time_as_long_as_the_database_needs_it(
    tmp_path: Path,
) -> None:
    """Its limit of a start would kill a long migration, and the next one, and the next."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        async with longer_start(Notifier(str(tmp_path / "notify"))):
            await pass_time(25)
        heard = [systemd.recv(4_096).decode() for _ in range(3)]
        await pass_time(100)
        with pytest.raises(BlockingIOError):
            systemd.recv(4_096)

    assert all("EXTEND_TIMEOUT_USEC=30000000" in text for text in heard)
