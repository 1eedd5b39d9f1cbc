"""`taskhub db copy`: moves all that is stored to another back end, while TaskHub is stopped."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from taskhub.cli import exits, options, say
from taskhub.config.sections import Config, Secret

if TYPE_CHECKING:
    from taskhub.store.moving import Plan, Progress

SOURCE, TARGET = "TASKHUB_FROM_PASSWORD", "TASKHUB_TO_PASSWORD"
EVERY = 1.0
"""Seconds between two lines about how far it is."""


@click.command()
@click.option("--from", "source", required=True, metavar="URL", help="The store that is read.")
@click.option("--to", "target", required=True, metavar="URL", help="The store that is filled.")
@click.option("--dry-run", is_flag=True, help="Say what there is to copy; change nothing.")
@options.config_options
def copy(
    source: str, target: str, *, dry_run: bool, path: Path | None, overrides: tuple[str, ...]
) -> None:
    """Copy everything from one store into an empty one, while TaskHub is stopped.

    Interrupted, it goes on where it was when it is run again. In the end both are read anew and
    compared. A password comes from TASKHUB_FROM_PASSWORD, TASKHUB_TO_PASSWORD (or the same with
    _FILE), or is that of the configured store.
    """
    from taskhub.app import copy_store, plan_copy

    config = options.loaded(path, overrides).config
    ends = _end(config, source, "--from", SOURCE), _end(config, target, "--to", TARGET)
    if dry_run:
        _show(plan_copy(*ends))
        return
    copied = copy_store(*ends, _teller())
    say.table(
        ("TABLE", "ROWS", "CHECKSUM"),
        [(each.table, f"{each.rows:,}", each.checksum) for each in copied],
    )
    say.note(f'taskhub: both are the same; set [store] url = "{target}" and start TaskHub')


def _end(config: Config, url: str, option: str, variable: str) -> Config:
    """The configuration of one end; ends the command where its address is none."""
    import msgspec

    from taskhub.config.stores import rules, server_of

    for _, wrong in rules(url):
        told = wrong.replace("[store] password", variable)
        raise exits.Failure(exits.USAGE, f"{option}: {told}")
    password = _secret(variable, os.environ)
    is_ours = url == config.store.url or not server_of(config.store.url)
    if not password and is_ours:
        password = config.store.password
    return msgspec.structs.replace(
        config, store=msgspec.structs.replace(config.store, url=url, password=password)
    )


def _secret(variable: str, environ: Mapping[str, str]) -> Secret:
    from taskhub.config.settings import cure_for_open, is_open_to_others

    found, path = environ.get(variable, ""), environ.get(f"{variable}_FILE")
    if not found and path:
        try:
            if is_open_to_others(Path(path)):
                raise exits.Failure(exits.USAGE, f"{variable}_FILE: {cure_for_open(Path(path))}")
            found = Path(path).read_text(encoding="utf-8").removesuffix("\n")
        except (OSError, ValueError):
            raise exits.Failure(exits.USAGE, f"{variable}_FILE cannot be read") from None
    return Secret(found)


def _show(plan: Plan) -> None:
    rows = [
        (table, f"{count:,}", f"{plan.done.get(table, 0):,}") for table, count in plan.rows.items()
    ]
    say.table(("TABLE", "ROWS", "COPIED"), rows)


def _teller() -> Callable[[Progress], None]:
    """Shows a line for each table's end, and one each second meanwhile."""
    last = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal last
        is_over = progress.done >= progress.of
        if progress.done and (is_over or time.monotonic() - last >= EVERY):
            last = time.monotonic()
            say.note(
                f"{progress.act} {progress.table}: {progress.done:,} of {progress.of:,} rows, "
                f"{progress.per_second:,.0f} rows/s"
            )

    return tell
