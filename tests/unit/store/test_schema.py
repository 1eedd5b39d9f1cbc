"""The schema: what the migrations make is what the metadata says, and nobody imports it in vain."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool
from taskhub.errors import SchemaNewer, SchemaOlder
from taskhub.store import migrations
from taskhub.store.migrations.upgrade import as_sql
from taskhub.store.schema import metadata
from taskhub.store.sqlite.migrating import migrate


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that the migrations have made."""
    path = tmp_path_factory.mktemp("schema") / "taskhub.db"
    migrate(path, 5.0)
    return path


@pytest.fixture
def connection(migrated: Path) -> Iterator[sqlite3.Connection]:
    """A connection to it."""
    with closing(sqlite3.connect(migrated)) as connection:
        yield connection


def ddl(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Every object of a database with the statement that makes it, spaces apart."""
    rows = connection.execute("SELECT name, sql FROM sqlite_master WHERE sql NOTNULL ORDER BY name")
    return [(name, " ".join(sql.split())) for name, sql in rows]


def test_the_migrations_lead_to_the_metadata(connection: sqlite3.Connection) -> None:
    """A column in one of them only would be a surprise in a year."""
    engine = create_engine("sqlite://", creator=lambda: connection, poolclass=StaticPool)
    with engine.connect() as lent:
        assert compare_metadata(MigrationContext.configure(lent), metadata) == []


def test_the_metadata_makes_the_same_tables_and_indexes(connection: sqlite3.Connection) -> None:
    """Defaults and partial indexes too, which a comparison of columns does not see."""
    with closing(sqlite3.connect(":memory:")) as other:
        engine = create_engine("sqlite://", creator=lambda: other, poolclass=StaticPool)
        metadata.create_all(engine)
        made = ddl(other)

    ours = [row for row in ddl(connection) if row[0] not in {"alembic_version", *TRIGGERS}]
    assert made == ours


TRIGGERS = {
    "Audit_is_append_only",
    "Attempts_end_with_tasks",
    "UniqueKeys_end_with_tasks",
    "Waits_end_with_tasks",
}


def test_the_sql_text_makes_the_same_database(connection: sqlite3.Connection) -> None:
    """What a DBA runs by hand is what the program would have run."""
    with closing(sqlite3.connect(":memory:")) as other:
        other.executescript(as_sql())

        assert ddl(other) == ddl(connection)
        assert other.execute("SELECT * FROM alembic_version").fetchall() == [(migrations.NEWEST,)]


def test_the_list_of_revisions_is_that_of_the_files() -> None:
    """Opening compares with the list; the files are what runs."""
    scripts = ScriptDirectory(str(Path(migrations.__file__).parent))

    found = tuple(script.revision for script in scripts.walk_revisions())

    assert found[::-1] == migrations.REVISIONS


def test_a_revision_is_the_newest_or_older_or_newer() -> None:
    """Each has its own error: one can be mended by us, the other only by a newer program."""
    migrations.refuse_unless_newest(migrations.NEWEST)
    with pytest.raises(SchemaOlder):
        migrations.refuse_unless_newest(None)
    with pytest.raises(SchemaNewer):
        migrations.refuse_unless_newest("9999")


@pytest.mark.parametrize("found", [None, *migrations.REVISIONS, "9999"])
def test_what_is_missing_is_what_comes_after(found: str | None) -> None:
    """Everything for an empty database, nothing for a newer one."""
    state = migrations.state(found)

    expected = {None: migrations.REVISIONS, "9999": ()}
    after = (
        migrations.REVISIONS[migrations.REVISIONS.index(found) + 1 :]
        if found in (migrations.REVISIONS)
        else ()
    )
    assert state.missing == expected.get(found, after)
    assert (state.found, state.newest) == (found, migrations.NEWEST)


def test_files_are_for_us_and_our_group_only(tmp_path: Path) -> None:
    """Payloads may hold anything: the folder and all files of the database are closed to others."""
    path = tmp_path / "new" / "taskhub.db"
    migrate(path, 5.0)

    modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert {"taskhub.db", "taskhub.db-lock"} <= set(modes)
    assert all(mode & 0o137 == 0 for mode in modes.values()), modes
    assert path.parent.stat().st_mode & 0o027 == 0


OPENS = """
import asyncio, sys
from pathlib import Path
from taskhub.finding import TaskQuery
from taskhub.store.sqlite import SqliteStore

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.open()
    await store.find(TaskQuery())
    await store.close()

asyncio.run(main())
print(sorted(name for name in ("sqlalchemy", "alembic") if name in sys.modules))
"""


def test_a_running_store_imports_no_sqlalchemy(migrated: Path) -> None:
    """Half a second of start and ten megabytes in each process, for nothing."""
    command = [sys.executable, "-c", OPENS, str(migrated)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"
