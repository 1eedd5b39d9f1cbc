"""The composition root: the only place that knows every name and puts the parts together."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskhub.config.load import Loaded
    from taskhub.config.sections import Config
    from taskhub.ports import Store
    from taskhub.store.moving import Copied, Plan, Progress


def run(loaded: Loaded, unit: str, *, hangup_stops: bool = False) -> int:
    """Run a unit as this process until a signal ends it; returns the exit code.

    `hangup_stops`: a closed terminal ends it too (else SIGHUP reloads).
    0 after a drain, 70 when a supervisor gave up, 75 when this process wants to be replaced.
    Raises TaskHubError for what the operator must mend before anything can start.
    """
    from taskhub.app.root import run as run_root

    return run_root(loaded, unit, hangup_stops=hangup_stops)


def child_main() -> int:
    """Be a child process: everything it needs to know comes from its parent."""
    from taskhub.app.child import main

    return main()


def open_store(config: Config) -> Store:
    """The store that `[store] url` names; it is not opened yet."""
    from taskhub.app.backends import make_store

    return make_store(config)


def back_up(config: Config, target: Path) -> int:
    """Copy the database of `[store] url` while it is in use; the copy's size in bytes.

    Raises BackupFailed, or the Trouble of the database.
    """
    from taskhub.app.backends import sqlite_file
    from taskhub.errors import BackupFailed
    from taskhub.store.sqlite.backup import back_up as copy

    if (source := sqlite_file(config)) is None:
        raise BackupFailed("it is not SQLite's: take the program that comes with the database")
    return copy(source, target.absolute())


def plan_copy(source: Config, target: Config) -> Plan:
    """What `copy_store` would copy; it refuses the same, and changes nothing."""
    from taskhub.app.backends import make_side
    from taskhub.store.moving import look

    _refuse_same(source, target)
    return look(make_side(source), make_side(target))


def copy_store(source: Config, target: Config, tell: Callable[[Progress], None]) -> list[Copied]:
    """Copy one store into another, or go on with it; every table, each the same on both sides.

    Raises CopyFailed, or the Trouble of a database.
    """
    from taskhub.app.backends import make_side
    from taskhub.store.moving import copy

    _refuse_same(source, target)
    return copy(make_side(source), make_side(target), tell)


def _refuse_same(source: Config, target: Config) -> None:
    from taskhub.config.runtime import absolute_store_url
    from taskhub.errors import CopyFailed

    if absolute_store_url(source.store.url) == absolute_store_url(target.store.url):
        raise CopyFailed("the source and the target are the same")
