"""Looks at the database: reachable, its schema, its health, the room around it; changes nothing."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

from taskhub.app import open_store
from taskhub.app.backends import SQLITE
from taskhub.cli.doctor.finding import Finding, fail, ok, warn
from taskhub.config.sections import Config
from taskhub.config.stores import server_of
from taskhub.errors import ConfigError, TaskHubError
from taskhub.ports import SchemaState
from taskhub.store.migrations import COPYING

LOOK = 5.0
"""Seconds for the look at the whole file; a large one is left to an hour of quiet."""
POSTGRES = ("postgresql", "postgres")
STEPS = 10_000  # of SQLite's machine between two looks at the time
BIG_LOG = 1 << 30  # bytes of a write-ahead log that nobody moves into the database
NO_ROOM, LITTLE_ROOM = 100 << 20, 1 << 30  # bytes


def look(config: Config) -> Iterator[Finding]:
    """Every finding of the database that `[store] url` names."""
    path = _file(config)
    if server_of(config.store.url) == "mssql":
        yield from _driver()
    if path is not None and not path.exists():
        yield warn("database", f"{path} is not there yet", "taskhub db ensure")
    else:
        yield from _existing(config, path)
    if path is not None:
        yield _room("disk", path.parent)
    if config.logs.directory:
        yield _room("disk of the logs", Path(config.logs.directory))


def _file(config: Config) -> Path | None:
    url = config.store.url
    return Path(url.removeprefix(SQLITE)).absolute() if url.startswith(SQLITE) else None


def _driver() -> Iterator[Finding]:
    """Which ODBC driver speaks to the server; where there is none, the next finding says so."""
    with suppress(ModuleNotFoundError, ConfigError):
        from taskhub.store.mssql.drivers import found

        driver = found()
        fix = "install Microsoft's msodbcsql18 (docs/sqlserver.md)"
        if driver.is_freetds:
            yield warn("ODBC driver", "FreeTDS, which checks no certificate", fix)
        else:
            yield ok("ODBC driver", driver.words)


def _existing(config: Config, path: Path | None) -> Iterator[Finding]:
    where = str(path) if path else config.store.url.partition(":")[0]
    try:
        state = asyncio.run(_schema(config))
    except TaskHubError as error:
        yield fail("database", f"{where}: {error.reason}", _remedy(path))
        return
    yield _standing(where, state)
    if path is not None:
        yield from _health(path)
    elif where in POSTGRES:
        from taskhub.cli.doctor import postgres  # its driver may not be installed

        yield from postgres.look(config, is_newest=state.found == state.newest)


async def _schema(config: Config) -> SchemaState:
    store = open_store(config)
    try:
        return await store.schema()
    finally:
        await store.close()


def _remedy(path: Path | None) -> str:
    if path is None:
        return "is it up, and may this account log in? see [store] url"
    return f"file {path}; if it is no database or a broken one, restore a backup (docs/runbook.md)"


def _standing(where: str, state: SchemaState) -> Finding:
    if state.found is None:
        return warn("database", f"{where} is empty", "taskhub db ensure")
    if state.found == state.newest:
        return ok("database", f"{where}: schema {state.found}, the newest")
    if state.missing:
        text = f"{where}: schema {state.found}, this TaskHub needs {state.newest}"
        return warn("database", text, "taskhub db migrate (a start of TaskHub does it too)")
    if state.found.startswith(COPYING):
        fix = "run the same taskhub db copy again, or empty it (docs/moving.md)"
        return fail("database", f"{where} is half of a copy", fix)
    text = f"{where}: schema {state.found}, made by a newer TaskHub than this one"
    return fail("database", text, "install that TaskHub again, or restore a backup")


def _health(path: Path) -> Iterator[Finding]:
    try:
        with closing(_connected(path)) as line:
            yield _journal(line, path)
            yield _integrity(line, path)
    except sqlite3.Error as error:
        yield fail("integrity", f"SQLite: {error}", f"restore a backup of {path}")


def _connected(path: Path) -> sqlite3.Connection:
    line = sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, isolation_level=None)
    line.execute("PRAGMA query_only = ON")
    return line


def _journal(line: sqlite3.Connection, path: Path) -> Finding:
    (mode,) = line.execute("PRAGMA journal_mode").fetchone()
    if mode != "wal":
        text = f"journal_mode is {mode}: readers and the writer hold each other up"
        return warn("write-ahead log", text, f"sqlite3 {path} 'PRAGMA journal_mode = wal'")
    log = path.with_name(f"{path.name}-wal")
    size = log.stat().st_size if log.exists() else 0
    if size > BIG_LOG:
        text = f"{_bytes(size)}: somebody reads without end, so nothing moves into the database"
        return warn("write-ahead log", text, f"fuser -v {path} shows who; restart that one")
    return ok("write-ahead log", _bytes(size))


def _integrity(line: sqlite3.Connection, path: Path) -> Finding:
    end = time.monotonic() + LOOK
    line.set_progress_handler(lambda: int(time.monotonic() > end), STEPS)
    try:
        said = [str(row[0]) for row in line.execute("PRAGMA quick_check(3)")]
    except sqlite3.OperationalError:
        fix = f"sqlite3 {path} 'PRAGMA integrity_check' at a quiet hour"
        return warn("integrity", f"not all of it could be read in {LOOK:g} s", fix)
    if said == ["ok"]:
        return ok("integrity", "ok")
    fix = f"stop TaskHub, keep a copy of {path}, restore a backup (docs/runbook.md)"
    return fail("integrity", "; ".join(said), fix)


def _room(name: str, folder: Path) -> Finding:
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    text = f"{_bytes(free)} free at {folder}"
    fix = "make room, or keep less: [retention], logs.keep_days (docs/runbook.md#disk-full)"
    if free < NO_ROOM:
        return fail(name, text, fix)
    return warn(name, text, fix) if free < LITTLE_ROOM else ok(name, text)


def _bytes(size: float) -> str:
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:  # noqa: PLR2004 - a step from unit to unit
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} TiB"
