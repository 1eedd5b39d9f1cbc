"""`taskhub check` and `taskhub config`: what is wrong, and what is in force; changes nothing."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from taskhub.cli import exits, options, say
from taskhub.cli.services.verdicts import compared
from taskhub.config import stores, webhooks
from taskhub.config.keys import UNITS_SECTION, Key
from taskhub.config.load import Loaded, all_keys, value_of
from taskhub.config.sections import Config
from taskhub.config.settings import shown


@click.command()
@options.config_options
@options.unit_option
def check(path: Path | None, overrides: tuple[str, ...], unit: str) -> None:
    """Find every mistake in the configuration; `ok` when there is none.

    The systemd services of this machine that read this file are compared with it.
    """
    found = options.loaded(path, overrides, unit)
    _import_handlers(found)
    _import_driver(found.config)
    mistakes, doubts = compared(found.config, found.path)
    for warning in (*doubts, *webhooks.doubts(found.config, unit)):
        say.note(f"taskhub: warning: {warning}", colour="yellow")
    if mistakes:
        raise exits.of_problems(mistakes)
    say.data("ok", colour="green")


def _import_driver(config: Config) -> None:
    """Of a store on a server; raises ConfigError where it is missing."""
    if stores.server_of(config.store.url):
        from taskhub.app import open_store

        open_store(config)


def _import_handlers(found: Loaded) -> None:
    """As a worker will; raises ConfigError with every module that cannot be used."""
    if found.config.work.handlers:
        from taskhub.work.outbound.handlers import outbound_handlers
        from taskhub.work.registry import discover
        from taskhub.work.scheduled import declared

        handlers = found.config.work.handlers
        declared(discover(handlers, folder=found.folder, also=outbound_handlers()).values())


@click.command("config")
@options.config_options
@options.json_option
def show(path: Path | None, overrides: tuple[str, ...], as_json: bool) -> None:  # noqa: FBT001
    """Show each value in force and where it comes from; secrets are hidden."""
    found = options.loaded(path, overrides)
    if as_json:
        say.document({key.path: _entry(found, key) for key in all_keys(found.config)})
        return
    for line in _lines(found):
        say.data(line)


def _entry(found: Loaded, key: Key) -> dict[str, Any]:
    return {"value": _plain(found.config, key), "origin": found.origins[key.path]}


def _plain(config: Config, key: Key) -> Any:
    """The value as JSON has it; a secret as its mask."""
    value = value_of(config, key)
    if key.is_secret:
        return "***" if value else ""
    return list(value) if isinstance(value, tuple) else value


def _lines(found: Loaded) -> Iterator[str]:
    """One table for each section, with a blank line between."""
    for section, keys in itertools.groupby(all_keys(found.config), lambda key: key.section):
        yield from ([] if section == UNITS_SECTION else [""])
        yield f"[{section}]"
        rows = [(key.name, _eyes(found.config, key), found.origins[key.path]) for key in keys]
        yield from say.columns(("", "", ""), rows)[1:]


def _eyes(config: Config, key: Key) -> str:
    return shown(key, value_of(config, key)) or "(empty)"
