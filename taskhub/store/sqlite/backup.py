"""A whole copy of a database that is in use; the copy is one moment of it."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from taskhub.errors import BackupFailed
from taskhub.store.sqlite.session import trouble_of

PRIVATE = 0o600


def back_up(source: Path, target: Path) -> int:
    """Write the copy and have the disk keep it; its size in bytes. Writers go on meanwhile.

    `target` appears whole or not at all, and never in place of a file that is there. Raises
    BackupFailed, or the Trouble of the database.
    """
    part = target.with_name(f".{target.name}.part")
    _reserve(target)
    try:
        _copy(source, part)
        _check(part)
        part.replace(target)
        _keep(target.parent)
        return target.stat().st_size
    except BaseException as error:
        target.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise BackupFailed(f"{target}: {error.strerror}") from None
        raise
    finally:
        part.unlink(missing_ok=True)


def _reserve(target: Path) -> None:
    try:
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))
    except FileExistsError:
        raise BackupFailed(f"{target} is there already") from None
    except OSError as error:
        raise BackupFailed(f"{target}: {error.strerror}") from None


def _copy(source: Path, part: Path) -> None:
    """In one read transaction (sqlite.org/backup.html), so that no commit falls between."""
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE))
    try:
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=ro", uri=True)) as database,
            closing(sqlite3.connect(part)) as copy,
        ):
            database.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
    except sqlite3.Error as error:
        raise (trouble_of(error) or BackupFailed(f"{source}: it cannot be read")) from None
    with part.open("rb") as file:
        os.fsync(file.fileno())


def _check(part: Path) -> None:
    with closing(sqlite3.connect(f"{part.as_uri()}?mode=ro", uri=True)) as copy:
        (answer,) = copy.execute("PRAGMA quick_check(1)").fetchone()
    if answer != "ok":
        raise BackupFailed("the copy is damaged, and so is the database: see docs/runbook.md")


def _keep(folder: Path) -> None:
    """Have the name of the file survive a power cut."""
    with suppress(OSError):  # some file systems keep no order of folders
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
