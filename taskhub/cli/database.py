"""`taskhub db`: makes, moves and looks at the database's schema; the store does the work."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import click

from taskhub.cli import exits, options, say
from taskhub.cli.copying import copy
from taskhub.config.sections import Config
from taskhub.errors import BackupFailed
from taskhub.ports import SchemaState, Store
from taskhub.store import migrations

T = TypeVar("T")


@click.group()
def db() -> None:
    """Make, move and look at the database's schema; keep or copy what is in it."""


db.add_command(copy)


@db.command()
@options.config_options
def ensure(path: Path | None, overrides: tuple[str, ...]) -> None:
    """Make the newest schema in an empty database; one that is there must be the newest."""
    config = options.loaded(path, overrides).config
    state = _with_store(config, lambda store: store.schema())
    if state.found is None:
        _tell(_with_store(config, lambda store: store.migrate()), state.newest)
    elif migrations.missing_after(state.found):
        raise exits.Failure(
            exits.FAILED, f"the schema is {state.found}: run `taskhub db migrate` to move it on"
        )
    else:
        _tell([], state.newest)


@db.command()
@options.config_options
def migrate(path: Path | None, overrides: tuple[str, ...]) -> None:
    """Bring the schema to the newest version; two at once are safe, one of them waits."""
    config = options.loaded(path, overrides).config
    steps = _with_store(config, lambda store: store.migrate())
    _tell(steps, _with_store(config, lambda store: store.schema()).newest)


@db.command()
@options.config_options
@options.json_option
def status(path: Path | None, overrides: tuple[str, ...], as_json: bool) -> int:  # noqa: FBT001
    """Show where the schema stands; exit code 1 when it is not the newest."""
    config = options.loaded(path, overrides).config
    state = _with_store(config, lambda store: store.schema())
    if as_json:
        say.document({"found": state.found, "newest": state.newest, "missing": list(state.missing)})
    else:
        say.data(_sentence(state))
    return exits.FAILED if state.missing or state.found != state.newest else exits.OK


@db.command()
@options.config_options
@click.argument("target", type=click.Path(path_type=Path))
def backup(path: Path | None, overrides: tuple[str, ...], target: Path) -> None:
    """Copy the database to TARGET, whole and checked, while TaskHub runs."""
    from taskhub.app import back_up

    config = options.loaded(path, overrides).config
    try:
        size = back_up(config, target)
    except BackupFailed as error:
        raise exits.Failure(exits.FAILED, error.detail) from None
    say.data(f"{target}: {size / 1e6:,.1f} MB")


@db.command()
@click.option("--since", help="Only the steps after this version [default: an empty database].")
@click.option(
    "--database",
    type=click.Choice(["sqlite", "postgresql", "mssql"]),
    default="sqlite",
    show_default=True,
    help="Whose SQL.",
)
def sql(since: str | None, database: str) -> None:
    """Print the SQL that makes or moves the schema; touches no database."""
    from alembic.util import CommandError

    from taskhub.store.migrations.upgrade import as_sql

    try:
        say.data(as_sql(database, since).rstrip())
    except CommandError as error:
        raise exits.Failure(exits.USAGE, f"there is no version {since!r}") from error


def _with_store(config: Config, act: Callable[[Store], Awaitable[T]]) -> T:
    """What `act` answers; the store is closed whatever happens."""
    from taskhub.app import open_store

    async def run() -> T:
        store = open_store(config)
        try:
            return await act(store)
        finally:
            await store.close()

    return asyncio.run(run())


def _tell(steps: list[str], newest: str) -> None:
    for step in steps:
        say.data(f"done: {step}")
    if not steps:
        say.data(f"nothing to do: the schema is {newest}")


def _sentence(state: SchemaState) -> str:
    if state.found is None:
        return f"empty; the newest is {state.newest}"
    if state.found == state.newest:
        return f"{state.found}, the newest"
    if state.missing:
        return f"{state.found}; missing: {', '.join(state.missing)}"
    if state.found.startswith(migrations.COPYING):
        return f"half of a copy; the newest is {state.newest}"
    return f"{state.found}, made by a newer TaskHub; this one knows {state.newest}"
