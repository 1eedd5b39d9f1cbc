"""`taskhub db`: the schema of a real SQLite file, made, looked at, refused."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path

from tests.acceptance.command_line import taskhub
from tests.acceptance.installation import Installation


async def test_an_empty_database_gets_the_schema(tmp_path: Path) -> None:
    """Its folder too."""
    before = await taskhub("db", "status", folder=tmp_path)
    made = await taskhub("db", "ensure", folder=tmp_path)
    after = await taskhub("db", "status", "--json", folder=tmp_path)

    assert (before.code, made.code, after.code) == (1, 0, 0)
    assert before.out.startswith("empty; the newest is ")
    found = json.loads(after.out)
    assert found["found"] == found["newest"]


async def test_two_that_migrate_at_once_are_safe(tmp_path: Path) -> None:
    """Two services of one machine start together after an upgrade."""
    ended = await asyncio.gather(*(taskhub("db", "migrate", folder=tmp_path) for _ in range(3)))

    assert [each.code for each in ended] == [0, 0, 0], ended
    assert sum("done: " in each.out for each in ended) == 1


async def test_the_printed_sql_makes_the_same_schema(tmp_path: Path) -> None:
    """For a DBA who runs it by hand."""
    printed = await taskhub("db", "sql", folder=tmp_path)
    (tmp_path / "data").mkdir()
    by_hand = sqlite3.connect(tmp_path / "data/taskhub.db")
    by_hand.executescript(printed.out)
    by_hand.close()

    status = await taskhub("db", "status", folder=tmp_path)
    wrong = await taskhub("db", "sql", "--since", "9999", folder=tmp_path)

    assert (printed.code, status.code) == (0, 0)
    assert (wrong.code, wrong.out) == (2, "")


async def test_a_newer_schema_is_refused_in_one_line(tmp_path: Path) -> None:
    """An old TaskHub must not touch what it does not know."""
    await taskhub("db", "ensure", folder=tmp_path)
    with sqlite3.connect(tmp_path / "data/taskhub.db") as database:
        database.execute("update alembic_version set version_num = '9999'")
    database.close()

    ensure = await taskhub("db", "ensure", folder=tmp_path)
    migrate = await taskhub("db", "migrate", folder=tmp_path)
    status = await taskhub("db", "status", folder=tmp_path)

    for ended in (ensure, migrate):
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.count("\n") == 1
        assert "newer TaskHub" in ended.err
    assert (status.code, "newer TaskHub" in status.out) == (1, True)


async def test_a_file_that_is_no_database_is_one_line(tmp_path: Path) -> None:
    """No traceback for a wrong path."""
    (tmp_path / "notes.txt").write_text("these are notes, not a database\n" * 100)

    ended = await taskhub("db", "status", "--set", "store.url=sqlite:///notes.txt", folder=tmp_path)

    assert (ended.code, ended.out) == (1, "")
    assert ended.err.endswith("(file is not a database)\n")
    assert len(ended.err.splitlines()) == 1


async def test_a_backup_is_made_while_it_runs_and_holds_what_was_taken_in(
    hub: Installation, tmp_path: Path
) -> None:
    """A second one of the same name is refused; and so is moving what runs."""
    await hub.start()
    made = [await hub.post(delaySeconds=3_600) for _ in range(3)]
    command = ("db", "backup", str(tmp_path / "copy.db"), "--config", str(hub.config))
    first = await taskhub(*command, folder=hub.folder)
    second = await taskhub(*command, folder=hub.folder)
    ends = ("--from", f"sqlite:///{hub.folder}/data/taskhub.db", "--to", "sqlite:///moved.db")
    moved = await taskhub("db", "copy", *ends, folder=tmp_path)
    await hub.stop()

    with sqlite3.connect(tmp_path / "copy.db") as copy:
        found = {row[0] for row in copy.execute("SELECT Id FROM Tasks")}
    copy.close()
    assert (first.code, second.code) == (0, 1)
    assert second.err == f"taskhub: {tmp_path}/copy.db is there already\n"
    assert (moved.code, "stop TaskHub first" in moved.err) == (1, True), moved.err
    assert found == {task["id"] for task in made}
